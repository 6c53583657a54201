import DEFTMailbox

/// What a node that hosts a pair's secondary gives its control thread. The rings are fresh (nothing was ever written to
/// them), belong to this endpoint alone and outlive it: until `ControlNode.remove(pair:)` or `stop()` has returned.
public struct SecondaryEndpoint: Sendable {
  public var pair: UInt16
  public var epoch: UInt32
  /// `NetworkFunction.name`; the primary must run the same one. At most 1,024 bytes of UTF-8.
  public var networkFunction: String
  /// Bytes of one entry of a commit: a `StateEntry` and the NF's state, padded to a multiple of 8.
  public var stateEntrySize: UInt32
  /// Highest batch voted for and highest applied before the first vote goes through `outbox`: what the first `resume`
  /// says. 0 unless the secondary inherits a history.
  public var voted: UInt64
  public var applied: UInt64
  /// control → lcore: prepares, commits and the primary's part of gap repair. Full: the control thread stops reading from the peer until there is room.
  public var inbox: MessageRing
  /// lcore → control: votes and gap repair. Read even while there is no connection; votes are remembered for the next
  /// `resume`, the rest is gone, and the lcore asks again.
  public var outbox: MessageRing

  public init(
    pair: UInt16, epoch: UInt32, networkFunction: String, stateEntrySize: UInt32, voted: UInt64 = 0,
    applied: UInt64 = 0, inbox: MessageRing, outbox: MessageRing
  ) {
    precondition(networkFunction.utf8.count <= Handshake.longestName)
    self.pair = pair
    self.epoch = epoch
    self.networkFunction = networkFunction
    self.stateEntrySize = stateEntrySize
    self.voted = voted
    self.applied = applied
    self.inbox = inbox
    self.outbox = outbox
  }
}
