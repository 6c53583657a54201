/// A migration that `deft replay` makes on purpose: all flow groups of one pair go to another (paper, V).
public struct PlannedMigration: Sendable, Equatable {
  public var source: Int
  public var target: Int
  /// It begins when so many packets have been stamped.
  public var packet: UInt64

  public init(from source: Int, to target: Int, at packet: UInt64) {
    self.source = source
    self.target = target
    self.packet = packet
  }
}

/// How a migration went.
public struct MigrationRecord: Sendable {
  public var migration: PlannedMigration
  public var groups = 0
  /// Flows whose state was moved.
  public var flows: UInt64 = 0
  /// Packets that either replica of the former owner sent on.
  public var forwarded: UInt64 = 0
  /// Moves of single groups that were undone and tried again.
  public var undone = 0
  /// ns from the first group's freeze until the last one's former owners had nothing left of it.
  public var duration: UInt64 = 0
  /// ns: the longest that a packet took from stamp to release meanwhile; 0 if latencies are not measured.
  public var longestLatency: UInt64 = 0
}
