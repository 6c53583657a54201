/// How far a primary is that begins with nothing, because both replicas of its pair were lost.
///
/// | phase | on | to |
/// |---|---|---|
/// | over | `restart`: the map names it, with one loss more | floors |
/// | floors | every stamping unit has told all its floors | egress |
/// | egress | egress says that it knows them | over |
///
/// Prohibited: to take a packet, to release one, or to begin a sync, before *over*: what is under way of generations that have
/// ended would begin their flows once more, here, at egress, or at a secondary. Floors after *floors*.
struct RestartState {
  enum Phase { case over, floors, egress }
  var phase = Phase.over
  /// Stamping units of which not all floors are here; a bit each.
  var awaited: UInt64 = 0

  var isOver: Bool { phase == .over }
  /// Units that there may be.
  static let maximumUnits = 64
}
