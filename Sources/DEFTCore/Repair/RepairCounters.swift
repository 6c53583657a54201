/// What gap repair has done at one replica (R4, R5, R10). Written by its lcore only.
@frozen
public struct RepairCounters: Sendable {
  /// Packets asked for (again, too), sent, and taken from the other replica.
  public var wanted: UInt64 = 0
  public var sent: UInt64 = 0
  public var taken: UInt64 = 0
  /// Packets that came and were not needed any more.
  public var needless: UInt64 = 0
  /// Ranges answered "not held".
  public var missing: UInt64 = 0
  /// R4: flows reported by the secondary; reports that the primary had to act on.
  public var uncovered: UInt64 = 0
  /// Primary: ranges and packets declared lost. Secondary: bound by its votes.
  public var lostRanges: UInt64 = 0
  public var lost: UInt64 = 0
  /// Copies of packets bound lost that came late and were given back (R5).
  public var lateLost: UInt64 = 0
  /// Waits, each tried again at a later scan: a table, the log, the pool or the buffer was full.
  public var tableFull: UInt64 = 0
  public var logFull: UInt64 = 0
  public var poolEmpty: UInt64 = 0
  public var noRoom: UInt64 = 0
  public init() {}
}
