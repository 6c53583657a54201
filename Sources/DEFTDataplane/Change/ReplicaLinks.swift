import DEFTMailbox

/// The control plane, as the director of failures needs it: makes and ends the connection between the two replicas of a
/// pair. Called by the director's thread.
public protocol ReplicaLinks: AnyObject, Sendable {
  /// Ends the pair's connection on both sides, as the death of one of them does. Afterwards its rings are not touched.
  func cut(pair: Int)
  /// Rings for a new connection of the pair; nothing is connected yet.
  func mailbox(pair: Int, primaryHost: Int, secondaryHost: Int) -> PairMailbox
  /// Connects the two hosts' nodes through the mailbox.
  func join(_ mailbox: PairMailbox, primaryHost: Int, secondaryHost: Int, epoch: UInt32) throws
  /// The primary's node has heard from the secondary's where to begin.
  func isJoined(pair: Int, primaryHost: Int) -> Bool
}
