/// Which incarnation of a stamping unit may stamp (paper, VI-C; R16).
///
/// | from | event | to |
/// |---|---|---|
/// | k | the unit failed, and one takes its place | k+1 |
///
/// Prohibited, hence refused: a proposer who has seen another incarnation. So no number is given out twice, and none is left out.
public struct UnitAssignment: Sendable, Equatable {
  public internal(set) var incarnation: UInt32 = 1
  public init() {}
}

extension ClusterMap {
  /// The unit has failed, or is believed to have: from now on another has its place, and the incarnation returned.
  /// nil: refused. Replicas that learn of it take no more packets of earlier incarnations, and report what they have.
  public mutating func replaceUnit(_ unit: Int, ifIncarnation incarnation: UInt32) -> UInt32? {
    guard units.indices.contains(unit), units[unit].incarnation == incarnation else { return nil }
    units[unit].incarnation += 1
    return units[unit].incarnation
  }
}
