import DEFTCore
import DEFTMailbox

/// The mailbox rings of one pair, between its lcores and the control threads of its two nodes. Without replication there is
/// traffic on none of them.
public struct PairMailbox: Sendable {
  public let pair: Int
  /// Primary's lcore → primary's node; kept until the secondary has them (R13).
  public let prepares: MessageRing
  public let commits: MessageRing
  /// Primary's lcore → primary's node: gap repair; kept by nobody.
  public let repairs: MessageRing
  /// Primary's node → primary's lcore: votes.
  public let votesIn: MessageRing
  /// Secondary's node → secondary's lcore: prepares and commits.
  public let messagesIn: MessageRing
  /// Secondary's lcore → secondary's node.
  public let votesOut: MessageRing
  /// Rung by the primary's lcore, and by the secondary's.
  public let primaryDoorbell: Doorbell
  public let secondaryDoorbell: Doorbell

  public init(
    pair: Int, replication: ReplicationConfiguration, stateSize: Int, primaryDoorbell: Doorbell,
    secondaryDoorbell: Doorbell
  ) {
    self.pair = pair
    // Twice the longest message always fits. No larger than that: a ring is walked through from end to end, and what it
    // takes of the caches the packets lose.
    let prepareBytes = max(
      1 << 17, 2 * replication.longestPrepare, 2 * replication.longestSnapshotMessage(stateSize: stateSize))
    let commitBytes = max(1 << 17, 2 * replication.longestCommit(stateSize: stateSize))
    prepares = MessageRing(capacity: prepareBytes)
    commits = MessageRing(capacity: commitBytes)
    // Touched only when packets are lost.
    repairs = MessageRing(capacity: 1 << 17)
    messagesIn = MessageRing(capacity: max(prepareBytes, commitBytes))
    votesIn = MessageRing(capacity: 1 << 16)
    votesOut = MessageRing(capacity: 1 << 16)
    self.primaryDoorbell = primaryDoorbell
    self.secondaryDoorbell = secondaryDoorbell
  }
}
