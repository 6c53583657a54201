import DEFTCore

/// Everything that shapes a pipeline in one process. Counts are packets unless said otherwise.
public struct PipelineConfiguration: Sendable {
  public var pairs = 1
  public var stampers = 1
  /// Per pair; `pair` and `epoch` are set for each.
  public var replication = ReplicationConfiguration()
  /// Input buffer of a primary, all stamping units together.
  public var inputBuffer = 16_384
  /// Slots per stamping unit, a power of two; three quarters can hold flows.
  public var flowSlots = 1 << 18
  /// ns without packets after which a flow ends.
  public var idleTimeout: UInt64 = 60_000_000_000
  public var seed: UInt64 = 1
  public var reorder = 0
  public var duplicate = 0.0
  /// Probability that a packet is destroyed on its way to a replica; each way by itself.
  public var loss = 0.0
  public var busyPoll = false
  public var measuresLatency = true
  /// NSH service path that names the NF group.
  public var servicePath: UInt32 = 100
  /// Packets that egress holds at most while one before them is missing.
  public var egressHold = 4096

  /// Failures to be made on purpose, in the order of their packets.
  public var failures: [PlannedFailure] = []
  /// Migrations to be made on purpose, in the order of their packets.
  public var migrations: [PlannedMigration] = []
  /// ns that a failure goes unnoticed: what the detection of failures would take.
  public var detection: UInt64 = 1_000_000

  public init() {}

  /// Replicas that a pair has in its life: two, and one more for each failure.
  func hosts(ofPair pair: Int) -> Int {
    replication.isReplicated ? 2 + failures.reduce(0) { $0 + ($1.pair == pair ? $1.newHosts : 0) } : 1
  }

  /// Packets that may wait for their turn at a replica: what can lie between the stampers and it, and what gap repair brings.
  public static func pending(inputBuffer: Int, reorder: Int, stampers: Int) -> Int {
    min(inputBuffer, longestPending) + 4 * (reorder + StamperStage.burst) * stampers + ReplicationConfiguration.repairBurst
  }
  /// Replicas may lack packets that they will never get by themselves: what is injected, and what roles that change leave behind.
  var losesPackets: Bool { loss > 0 || !changes.isEmpty }
  /// ns; nil: nothing is shuffled, or nothing is asked for. Otherwise the same seed shuffles and doubles the same packets.
  var longestShuffle: UInt64? {
    reorder > 0 && losesPackets && replication.gapTimeout > 0 ? replication.gapTimeout / 4 : nil
  }
  /// What the switch may let wait, in the ring and in the pendingList together.
  var pendingLimit: Int { replication.pending - ReplicationConfiguration.repairBurst - StamperStage.burst * stampers }
  /// With a longer input buffer a single gap can make a pendingList run over; copies dropped there are asked for again.
  static let longestPending = 8192

  /// A one-line complaint about values that do not fit together, or nil.
  public func defect(stateSize: Int) -> String? {
    let replica = replication
    var unitBits = 0
    while 1 << unitBits < stampers { unitBits += 1 }
    let slots = 1 << (Int(FlowIDLayout.maximumIndexBits) - unitBits)
    if flowSlots > slots {
      return "--flows is too large for \(stampers) stamper(s): use at most \(slots / 4 * 3)"
    }
    // Each ring is a memory zone of EAL's, of which there are 2560.
    if stampers * (3 * pairs + 1) + pairs > 2400 {
      return
        "\(stampers) stampers with \(pairs) pairs need more rings than EAL has: use at most \((2400 - stampers) / (3 * stampers + 1)) pairs"
    }
    let hosts = (0..<pairs).reduce(0) { $0 + self.hosts(ofPair: $1) }
    var forwarding = 0
    for source in 0..<pairs {
      for target in 0..<pairs where forwards(from: source, to: target) { forwarding += 4 * self.hosts(ofPair: target) }
    }
    if !changes.isEmpty, stampers * (3 * hosts + 1) + hosts + forwarding > 2400 {
      return "\(changes.count) failures and migrations need more rings than EAL has; plan fewer"
    }
    let perLink = inputBuffer / stampers
    if reorder > 0 || duplicate > 0, perLink < 4 * (reorder + StamperStage.burst) {
      return
        "--buffer \(inputBuffer) is too small for --reorder \(reorder) with \(stampers) stamper(s): "
        + "use at least \(4 * (reorder + StamperStage.burst) * stampers)"
    }
    if replica.retained < 2 * (replica.batch + replica.pendingPerFlow) + replica.stateClockPackets {
      return "--batch \(replica.batch) is too large for an output buffer of \(replica.retained) packets"
    }
    if replica.longestCommit(stateSize: stateSize) > 8 << 20 {
      return "the NF's state of \(stateSize) bytes makes state clocks of more than 8 MiB"
    }
    return nil
  }
}
