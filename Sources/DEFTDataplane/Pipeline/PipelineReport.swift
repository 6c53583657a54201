import DEFTCore

/// What a pipeline has done so far. Plain numbers, taken while the lcores run (then each is right, and together they are
/// nearly so) or after they stopped (then exact).
public struct PipelineReport: Sendable {
  public struct Lcore: Sendable {
    public var lcore: UInt32
    public var roles: [String]
    public var counters: LcoreCounters
  }
  public struct Pair: Sendable {
    public var pair: Int
    public var primary: PrimaryCounters
    public var secondary: SecondaryCounters?
    public var batchesInFlight: Int
    public var pendingNow: Int
    public var pendingHighWater: Int
    public var heldNow: Int
  }
  /// Per-flow state on both replicas, after the lcores stopped.
  public struct Digest: Sendable {
    public var pair: Int
    public var primary: UInt64
    public var secondary: UInt64?
    public var flows: Int
  }

  public var lcores: [Lcore] = []
  public var pairs: [Pair] = []

  public var received: UInt64 = 0
  public var stamped: UInt64 = 0
  public var closeMarkers: UInt64 = 0
  public var processed: UInt64 = 0
  public var droppedByFunction: UInt64 = 0
  /// Handed to egress, without close markers.
  public var released: UInt64 = 0
  public var transmitted: UInt64 = 0
  /// Released packets that were out already.
  public var suppressed: UInt64 = 0
  public var drops: [DropReason: UInt64] = [:]
  /// Doubles made by `--duplicate`.
  public var injectedDuplicates: UInt64 = 0
  /// Destroyed by `--loss` on the ways to primaries, to secondaries, and on every way that there was.
  public var destroyedToPrimaries: UInt64 = 0
  public var destroyedToSecondaries: UInt64 = 0
  public var destroyedEverywhere: UInt64 = 0
  public var activeFlows: Int = 0
  public var closedFlows: UInt64 = 0
  public var portFull: UInt64 = 0
  public var mirrorLost: UInt64 = 0

  public var digests: [Digest] = []
  public var failures: [FailureRecord] = []
  public var migrations: [MigrationRecord] = []
  public var latency: [(nanoseconds: UInt64, count: UInt64)] = []
  /// Properties that did not hold, one line each.
  public var violations: [String] = []

  public init() {}

  /// Packets that primaries have declared lost (R5).
  public var declaredLost: UInt64 { pairs.reduce(0) { $0 + $1.primary.repair.lost } }
  /// Packets that were stamped, had not left when both replicas of their pair failed, and never will.
  public var lostWithPairs: UInt64 { failures.reduce(0) { $0 + $1.lostPackets } }
  /// Received and dropped before stamping.
  public var droppedUnstamped: UInt64 {
    [DropReason.inputBufferFull, .flowTableFull].reduce(0) { $0 + (drops[$1] ?? 0) }
  }
}
