import DEFTWire

/// The numbers of one pair, the same on both replicas. All times in ns.
@frozen
public struct ReplicationConfiguration: Sendable, Equatable {
  public var pair: UInt16
  /// Ownership of the pair's flow groups; in every message (B4). A replica's own copy follows its epoch.
  public var epoch: UInt32
  /// Packets in a batch (the paper's output buffer). A batch may exceed it by what its last packet frees from the pendingList.
  public var batch: Int
  /// Batches sent to the secondary and not voted for, at most. 1: stop and wait, as in the paper.
  public var window: Int
  /// A batch that is not full is closed at the latest after this time.
  public var flushInterval: UInt64
  /// With no input left, a batch that is not full is closed while fewer than this many are in flight.
  public var dryWindow: Int
  /// Packets after which a state clock is taken (at the next close of a batch). 1: with every batch, as in the paper.
  public var stateClockPackets: Int
  /// A quiet replica takes the state clock after this time.
  public var stateClockInterval: UInt64
  /// Packets that the primary keeps until their state clock has been sent, at most; a power of two.
  public var retained: Int
  /// Packets that the secondary holds, at most; a power of two. At least four thirds of all that can be stamped and not yet
  /// committed (the primary's input buffer, pending and output buffer), or the copy that a vote waits for may find no room.
  public var held: Int
  /// Packets that wait for their turn, at most, in all and per flow.
  public var pending: Int
  public var pendingPerFlow: Int
  /// What a primary does while it has no secondary in sync.
  public var policy: UnprotectedPolicy
  /// What becomes of packets that may have left through an egress that failed (R12).
  public var ambiguity: AmbiguityPolicy
  /// A release that egress has not acknowledged for this long is sent again (R2).
  public var acknowledgeTimeout: UInt64
  /// Flows that one step of a snapshot writes, at most.
  public var snapshotChunk: Int
  /// A missing packet is asked for after this time, and declared lost when the other replica has twice said that it does
  /// not hold it, so after two to three of these (B3). Must exceed what the fabric reorders. 0: nothing is asked for.
  public var gapTimeout: UInt64
  /// Packets that can lie in a replica's input buffer: nobody asks for, or denies, what may be there.
  public var inputCapacity: Int
  /// Flows whose gaps are watched at once; a power of two, at least 8. More than that wait for their turn.
  public var gaps: Int
  /// Ranges declared lost and not yet covered by an applied state clock, at most.
  public var lostRanges: Int
  /// Flow groups: what is moved between pairs as one; a power of two (the low bits of a flow's index).
  public var flowGroups: Int
  /// Packets that a primary keeps of groups that are being moved, or are not its pair's any more, at most. Full: it takes no
  /// input.
  public var kept: Int
  /// false: there is never a secondary, and nothing can fail over; what is processed is released at once.
  public var isReplicated: Bool

  public init(
    pair: UInt16 = 0, epoch: UInt32 = 1, batch: Int = 256, window: Int = 32, flushInterval: UInt64 = 50_000,
    dryWindow: Int = 4, stateClockPackets: Int = 4096, stateClockInterval: UInt64 = 200_000, retained: Int = 32_768,
    held: Int = 65_536, pending: Int = 4096, pendingPerFlow: Int = 1024, policy: UnprotectedPolicy = .hold,
    ambiguity: AmbiguityPolicy = .resend, acknowledgeTimeout: UInt64 = 10_000_000, snapshotChunk: Int = 256,
    gapTimeout: UInt64 = 1_000_000, inputCapacity: Int = 0, gaps: Int = 1024, lostRanges: Int = 256, flowGroups: Int = 256,
    kept: Int = 8192, isReplicated: Bool = true
  ) {
    self.pair = pair
    self.epoch = epoch
    self.batch = batch
    self.window = window
    self.flushInterval = flushInterval
    self.dryWindow = dryWindow
    self.stateClockPackets = stateClockPackets
    self.stateClockInterval = stateClockInterval
    self.retained = retained
    self.held = held
    self.pending = pending
    self.pendingPerFlow = pendingPerFlow
    self.policy = policy
    self.ambiguity = ambiguity
    self.acknowledgeTimeout = acknowledgeTimeout
    self.snapshotChunk = snapshotChunk
    self.gapTimeout = gapTimeout
    self.inputCapacity = inputCapacity
    self.gaps = gaps
    self.lostRanges = lostRanges
    self.flowGroups = flowGroups
    self.kept = kept
    self.isReplicated = isReplicated
  }

  /// Bytes of one flow in a state clock.
  public static func stateEntryBytes(stateSize: Int) -> Int { (StateEntry.byteCount + stateSize + 7) & ~7 }
  /// Flows in one state clock, at most: the primary takes no packet that could exceed it.
  public var stateClockFlows: Int { min(retained, stateClockPackets + 2 * (batch + pendingPerFlow)) }
  /// Bytes of the longest state clock that the primary can send.
  public func longestCommit(stateSize: Int) -> Int {
    ControlMessageHeader.byteCount
      + stateClockFlows * ReplicationConfiguration.stateEntryBytes(stateSize: stateSize)
  }
  /// Bytes of the longest message of a snapshot.
  public func longestSnapshotMessage(stateSize: Int) -> Int {
    ControlMessageHeader.byteCount + snapshotChunk * ReplicationConfiguration.stateEntryBytes(stateSize: stateSize)
  }
  /// Bytes of the longest message of a move, to the other pair or to the secondary.
  public func longestMove(stateSize: Int) -> Int { longestSnapshotMessage(stateSize: stateSize) + MoveHeader.byteCount }
  /// Flows that one batch can touch: by its packets, by what they make due, and by losses.
  var batchFlows: Int { batch + pending + lostRanges }
  /// Bytes of the longest packet clock that the primary can send.
  public var longestPrepare: Int {
    ControlMessageHeader.byteCount + batchFlows * ClockEntry.byteCount + lostRanges * PacketRange.byteCount
  }
  /// Copies that a secondary ever holds: gap repair may exceed `held` by what the primary's output buffer has.
  public var longestHold: Int { held + retained }
  /// Room in its table for them; a power of two.
  public var holdCapacity: Int {
    var capacity = held
    while capacity < longestHold { capacity *= 2 }
    return capacity
  }
  /// Packets that stamping must leave free in a pool, for each pair whose replicas take packets from it: what gap repair
  /// brings needs room when everything else waits for it. A secondary lacks at most what the primary's output buffer holds,
  /// and a primary at most what goes there or into its pendingList.
  public var repairReserve: Int { retained + pending }
  /// Gap repair looks for gaps so often, ns.
  public var scanInterval: UInt64 { gapTimeout / 2 }
}
