/// What one lcore has done. On cache lines of its own; written by the lcore, read by anyone (each word is read whole, the
/// set is not a snapshot).
@frozen
public struct LcoreCounters: Sendable {
  /// Cycles of rounds in which a stage moved something, and of all rounds.
  public var busyCycles: UInt64 = 0
  public var totalCycles: UInt64 = 0
  public var rounds: UInt64 = 0
  /// Times the lcore gave its CPU away because it had nothing to do.
  public var naps: UInt64 = 0
  /// Packets received from a port, and transmitted to one, by stages on this lcore.
  public var received: UInt64 = 0
  public var transmitted: UInt64 = 0
  /// Packets that went through an NF on this lcore.
  public var processed: UInt64 = 0
  public init() {}
}

/// Why a packet was given back without having been released. Stamped ones never are, except as repeats.
public enum DropReason: String, CaseIterable, Sendable {
  /// The pair's input buffer was full (paper, VII-A); before stamping (R17).
  case inputBufferFull = "input_buffer_full"
  /// No slot for a new flow; before stamping.
  case flowTableFull = "flow_table_full"
  /// A copy that the replica had seen already.
  case duplicate
  /// A packet of a flow generation that has ended.
  case staleGeneration = "stale_generation"
  /// A counter too far from the flow's next to be believed (R18).
  case outsideWindow = "outside_window"
  /// The pendingList had no room.
  case pendingFull = "pending_full"
}
