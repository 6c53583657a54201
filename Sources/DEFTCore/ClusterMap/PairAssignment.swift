/// How far a pair's secondary is (R9): only one that is in sync votes for releases and may be promoted.
@frozen
public enum SecondaryStanding: UInt8, Sendable {
  case none
  case syncing
  case inSync
}

/// What a primary does while no secondary is in sync (DESIGN 4).
@frozen
public enum UnprotectedPolicy: UInt8, Sendable {
  /// Keep packets, bounded (R17).
  case hold
  /// Release them without a vote, counted (R7).
  case release
}

/// Who owns one group of flows. Part of the cluster map; changed only by `ClusterMap.propose`.
public struct PairAssignment: Sendable, Equatable {
  /// Ownership: every change of who takes part makes a new one (B4).
  public internal(set) var epoch: UInt32
  public internal(set) var primary: NodeID
  public internal(set) var secondary: NodeID?
  public internal(set) var standing: SecondaryStanding
  public let policy: UnprotectedPolicy
  /// Outside both replicas' failure domains (R12).
  public internal(set) var egress: NodeID
  /// Which egress of the pair that is: each replacement has the next term, and begins with what the primary tells it; so
  /// does the same egress when the pair has lost its states.
  public internal(set) var egressTerm: UInt32 = 1
  /// Times that both replicas were gone and the group began anew: its flows' generations end, their states are lost.
  public internal(set) var losses: UInt32 = 0

  public init(
    epoch: UInt32 = 1, primary: NodeID, secondary: NodeID?, standing: SecondaryStanding, policy: UnprotectedPolicy,
    egress: NodeID
  ) {
    precondition((secondary == nil) == (standing == .none), "a secondary stands somewhere, nobody nowhere")
    precondition(secondary != primary, "both replicas on one node")
    precondition(egress != primary && egress != secondary, "egress shares a replica's failure domain (R12)")
    self.epoch = epoch
    self.primary = primary
    self.secondary = secondary
    self.standing = standing
    self.policy = policy
    self.egress = egress
  }

  /// R7: `node` may release without a vote: it is the primary, nobody is in sync, and the policy says so.
  public func mayReleaseUnvoted(_ node: NodeID, epoch: UInt32) -> Bool {
    node == primary && epoch == self.epoch && standing != .inSync && policy == .release
  }
}
