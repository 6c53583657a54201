/// Which pair owns one flow group, and whether it is being moved (R11). Part of the cluster map; changed only by
/// `ClusterMap.propose(_:group:ifVersion:)`, and by a new epoch of a pair that has a part in a move.
///
/// | from | event | to |
/// |---|---|---|
/// | (A, settled, v) | begin, to B | (A, moving to B, v+1) |
/// | (A, moving to B, v) | commit | (B, inheriting from A and A', v+1): **the** commit point |
/// | (A, moving to B, v) | undo; or A's or B's pair has a new epoch, or a new egress | (A, settled, v+1) |
/// | (B, inheriting, v) | a source has drained, or the map has it out of its pair | (B, inheriting from the other, v+1) |
/// | (B, inheriting from one, v) | the same of that one | (B, settled, v+1) |
///
/// Prohibited, hence refused: any of them by a proposer who has seen another version; begin while the group moves, or while
/// its owner still inherits it (what the last move left on its way goes to that owner); begin without both pairs in sync, or
/// between pairs that have not the same egress, for the other one's knows nothing of the group (R12);
/// commit after either pair's epoch has changed, or without a secondary in sync at B; undo of what is committed.
public struct GroupAssignment: Sendable, Equatable {
  @frozen
  public enum Phase: Sendable, Equatable {
    case settled
    /// Owned still; the pairs' epochs when it began.
    case moving(to: Int, sourceEpoch: UInt32, targetEpoch: UInt32)
    /// Owned; these nodes of the former owner may still have packets of it. nil: has drained, or is dead.
    case inheriting(from: Int, primary: NodeID?, secondary: NodeID?)
  }
  public internal(set) var pair: Int
  /// Every change makes a new one.
  public internal(set) var version: UInt32 = 1
  public internal(set) var phase = Phase.settled

  public init(pair: Int) { self.pair = pair }

  /// The owner may not declare anything of the group lost (R11).
  public var isInheriting: Bool {
    if case .inheriting = phase { return true }
    return false
  }
  public var isMoving: Bool {
    if case .moving = phase { return true }
    return false
  }

  /// R16: `node` forwards a packet by the entry of `version`, and the packet's stamping unit was replaced meanwhile: whether a
  /// replica that knows this entry takes it. Not from one that nobody waits for (any more): the unit that is there now may have
  /// closed the packet's flow without it.
  public func expects(from node: NodeID, by version: UInt32) -> Bool {
    // Of a later entry than this one nobody has reported here.
    guard version <= self.version else { return true }
    guard case .inheriting(_, let primary, let secondary) = phase else { return false }
    return node == primary || node == secondary
  }
}

/// A proposed change of one group's assignment.
@frozen
public enum GroupTransition: Sendable, Equatable {
  case begin(to: Int)
  case commit
  case undo
  /// What was sent to the node, of the former owner, before the rule changed, it has forwarded, and that has arrived.
  case drained(NodeID)
}

@frozen
public enum GroupRefusal: Sendable, Equatable {
  case unknownGroup
  /// The map has changed since the proposer looked.
  case otherVersion
  /// The group is not where the transition begins.
  case phase
  /// Not another pair of this map.
  case target
  /// Either pair has no secondary in sync.
  case standing
  /// The pairs have different egresses.
  case egress
  /// Either pair's epoch has changed since the move began.
  case otherEpoch
}

@frozen
public enum GroupOutcome: Sendable, Equatable {
  case accepted
  case refused(GroupRefusal)
}
