/// A proposed change of one pair's assignment.
@frozen
public enum MapTransition: Sendable, Equatable {
  /// The primary is suspected to have failed. `replacement` begins anew if nobody can be promoted; nil: the secondary, if
  /// there is one.
  case primaryFailed(replacement: NodeID? = nil)
  case secondaryFailed
  case secondaryAdded(NodeID)
  /// The syncing secondary alone can reconstruct everything voted or stamped (R9).
  case syncFinished
  /// The egress of that term is believed to have failed (R12); another takes its place, or itself with nothing: in every pair
  /// that it is the egress of.
  case egressFailed(term: UInt32, replacement: NodeID)
}

/// What has to follow from a change that was accepted.
@frozen
public enum MapEffect: Sendable, Equatable {
  /// The secondary promises the new epoch and takes over (paper, VI-A).
  case takeover
  /// Both replicas are gone: the primary named now begins with no state, and every flow of the group with a new generation.
  case restart
  /// The primary goes on without a secondary, as the policy says.
  case alone
  /// The primary begins a new stream to the secondary, with a snapshot.
  case sync
  /// The primary needs the secondary's votes from now on.
  case protected
  /// The primary tells the new egress where to begin.
  case tellEgress
}

@frozen
public enum MapRefusal: Sendable, Equatable {
  case unknownPair
  /// The map has changed since the proposer looked (the epoch, or the egress).
  case otherEpoch
  /// There is no secondary, or it is not where the transition begins.
  case standing
  /// The node has a part in this pair already.
  case occupied
  /// The group's last node failed and none was named to begin anew.
  case noReplacement
}

@frozen
public enum MapOutcome: Sendable, Equatable {
  case accepted(MapEffect)
  case refused(MapRefusal)
}
