import DEFTMailbox

/// What a node that hosts a pair's primary gives its control thread. The rings are fresh (nothing was ever written to
/// them), belong to this endpoint alone and outlive it: until `ControlNode.remove(pair:)` or `stop()` has returned.
public struct PrimaryEndpoint: Sendable {
  public var pair: UInt16
  public var epoch: UInt32
  /// `NetworkFunction.name`; the secondary must run the same one. At most 1,024 bytes of UTF-8.
  public var networkFunction: String
  /// Bytes of one entry of a commit: a `StateEntry` and the NF's state, padded to a multiple of 8. The secondary must
  /// have the same, and every commit's `detail` is held against it.
  public var stateEntrySize: UInt32
  /// lcore → control: prepares. The lcore's producer retains; the control thread consumes.
  public var prepares: MessageRing
  /// lcore → control: commits. The lcore's producer retains; the control thread consumes.
  public var commits: MessageRing
  /// lcore → control: gap repair. The lcore's producer does not retain: what is written while there is no connection, or
  /// lost with one, is gone, and the lcore asks again. nil: this primary repairs nothing.
  public var repairs: MessageRing?
  /// control → lcore: votes, the secondary's part of gap repair, and a resume after every (re)connection, upon which the lcore trims both logs and calls
  /// `rewind()` on both. Full: the control thread stops reading from the peer until there is room.
  public var inbox: MessageRing

  public init(
    pair: UInt16, epoch: UInt32, networkFunction: String, stateEntrySize: UInt32, prepares: MessageRing,
    commits: MessageRing, repairs: MessageRing? = nil, inbox: MessageRing
  ) {
    precondition(networkFunction.utf8.count <= Handshake.longestName)
    self.pair = pair
    self.epoch = epoch
    self.networkFunction = networkFunction
    self.stateEntrySize = stateEntrySize
    self.prepares = prepares
    self.commits = commits
    self.repairs = repairs
    self.inbox = inbox
  }
}
