/// Which nodes own which flows (DESIGN 5). The nodes agree on it through consensus; this is the value they agree
/// on, and its only change is one compare-and-set on a pair's epoch.
///
/// | from (primary, secondary, epoch) | event | to | effect |
/// |---|---|---|---|
/// | (P, S inSync, e) | primary failed | (S, none, e+1) | takeover |
/// | (P, S syncing, e) | primary failed | (S or R, none, e+1), one loss more | restart |
/// | (P, none, e) | primary failed, replacement R | (R, none, e+1), one loss more | restart |
/// | (P, S any, e) | secondary failed | (P, none, e+1) | alone |
/// | (P, none, e) | secondary added C | (P, C syncing, e+1) | sync |
/// | (P, C syncing, e) | sync finished | (P, C inSync, e) | protected |
/// | any, egress E of term k | that egress failed | the same, egress F of term k+1; in every pair of which it was | tell egress |
///
/// A restart is the next term of its egress, too, which stays where it is: it begins anew with what the primary tells it
/// (`PrimaryReplica+Restart.swift`).
///
/// Prohibited, hence refused: promoting one that syncs (R9: it may lack what was voted or stamped); a second secondary; one
/// on the primary's node or egress's, or an egress on a replica's (R12); `syncFinished` of an earlier sync (its epoch has passed); anything by a proposer
/// who has seen another epoch.
///
/// Flow groups move from pair to pair by a table of their own (`GroupAssignment`); a new epoch of a pair, or a new egress,
/// ends the moves that it had a part in and that were not committed.
///
/// Capacity: the pairs, stamping units and flow groups that it was made with.
public struct ClusterMap: Sendable, Equatable {
  private var pairs: [PairAssignment]
  /// By stamping unit.
  public internal(set) var units: [UnitAssignment]
  var groups: [GroupAssignment]

  /// - Parameter groups: flow groups, which begin dealt out to the pairs in turn.
  public init(pairs: [PairAssignment], units: Int = 0, groups: Int = 0) {
    self.pairs = pairs
    self.units = [UnitAssignment](repeating: UnitAssignment(), count: units)
    self.groups = (0..<groups).map { GroupAssignment(pair: $0 % pairs.count) }
  }

  public var pairCount: Int { pairs.count }
  public subscript(pair: Int) -> PairAssignment { pairs[pair] }

  /// Changes the assignment of `pair` if its epoch is `epoch` and the table above has the transition.
  public mutating func propose(_ transition: MapTransition, pair: Int, ifEpoch epoch: UInt32) -> MapOutcome {
    guard pairs.indices.contains(pair) else { return .refused(.unknownPair) }
    guard pairs[pair].epoch == epoch else { return .refused(.otherEpoch) }
    if case .egressFailed(let term, let replacement) = transition {
      return replaceEgress(of: pair, ifTerm: term, by: replacement)
    }
    let before = pairs[pair]
    let outcome = pairs[pair].apply(transition)
    if pairs[pair].epoch != before.epoch { groupsFollow(pair, from: before, isRestart: outcome == .accepted(.restart)) }
    return outcome
  }

  /// Every pair that it was the egress of has the next term, in one change. So pairs that have the same egress have told the
  /// same one, or have yet to: a flow group that moves between them stays where its flows are known.
  private mutating func replaceEgress(of pair: Int, ifTerm term: UInt32, by replacement: NodeID) -> MapOutcome {
    guard pairs[pair].egressTerm == term else { return .refused(.otherEpoch) }
    let theirs = pairs.indices.filter { pairs[$0].egress == pairs[pair].egress }
    var replaced = pairs
    for pair in theirs {
      let outcome = replaced[pair].apply(.egressFailed(term: pairs[pair].egressTerm, replacement: replacement))
      guard case .accepted = outcome else { return outcome }
    }
    pairs = replaced
    for pair in theirs { undoMoves(of: pair) }
    return .accepted(.tellEgress)
  }
}

extension PairAssignment {
  fileprivate mutating func apply(_ transition: MapTransition) -> MapOutcome {
    switch (transition, standing) {
    case (.primaryFailed, .inSync):
      // Whatever replacement was named: the states are with the secondary, and nobody else.
      primary = secondary.unsafelyUnwrapped
      return change(secondary: nil, .none, .takeover)
    case (.primaryFailed(let replacement), .syncing), (.primaryFailed(let replacement), .none):
      guard let next = replacement ?? secondary else { return .refused(.noReplacement) }
      guard next != primary, next != egress else { return .refused(.occupied) }
      primary = next
      losses += 1
      egressTerm += 1
      return change(secondary: nil, .none, .restart)
    case (.secondaryFailed, .syncing), (.secondaryFailed, .inSync):
      return change(secondary: nil, .none, .alone)
    case (.secondaryAdded(let node), .none):
      guard node != primary, node != egress else { return .refused(.occupied) }
      return change(secondary: node, .syncing, .sync)
    case (.syncFinished, .syncing):
      // The epoch stays: the stream goes on, only what its votes are needed for changes.
      standing = .inSync
      return .accepted(.protected)
    case (.egressFailed(let term, let replacement), _):
      guard term == egressTerm else { return .refused(.otherEpoch) }
      guard replacement != primary, replacement != secondary else { return .refused(.occupied) }
      // The epoch stays: who owns the pair has not changed, and no stream between the replicas ends.
      egress = replacement
      egressTerm += 1
      return .accepted(.tellEgress)
    case (.secondaryFailed, .none), (.secondaryAdded, .syncing), (.secondaryAdded, .inSync), (.syncFinished, .none),
      (.syncFinished, .inSync):
      return .refused(.standing)
    }
  }

  private mutating func change(secondary: NodeID?, _ standing: SecondaryStanding, _ effect: MapEffect) -> MapOutcome {
    self.secondary = secondary
    self.standing = standing
    epoch += 1
    return .accepted(effect)
  }
}
