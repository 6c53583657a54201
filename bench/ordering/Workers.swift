import COrderingTwin
import DEFTCore
import DEFTWire
import NetworkFunctions

/// The numbers that shape a worker, the same for both languages: what `deft replay` uses by default.
struct WorkerSetup {
  var replication = ReplicationConfiguration()
  let layout: FlowIDLayout
  let closeCapacity = StampingUnit.maximumClosing

  init(flows: Int) { layout = FlowIDLayout(units: 1, slotsPerUnit: flows) }

  private var longestCommit: Int { replication.longestCommit(stateSize: MemoryLayout<Monitor.State>.size) }
  // As PairMailbox.
  var prepareBytes: Int { max(1 << 20, 4 * replication.longestPrepare) }
  var commitBytes: Int { max(1 << 21, 2 * longestCommit) }
  var voteBytes: Int { 1 << 16 }

  /// Bytes of tables, roughly rounded up.
  var arenaBytes: Int { layout.indexCount * 64 + 16 << 20 }

  var forC: ot_configuration {
    ot_configuration(
      pair: replication.pair, epoch: replication.epoch, batch: UInt32(replication.batch),
      window: UInt32(replication.window), dry_window: UInt32(replication.dryWindow),
      state_clock_packets: UInt32(replication.stateClockPackets), flush_interval: replication.flushInterval,
      state_clock_interval: replication.stateClockInterval, retained: UInt32(replication.retained),
      pending: UInt32(replication.pending), pending_per_flow: UInt32(replication.pendingPerFlow),
      state_clock_flows: UInt32(replication.stateClockFlows),
      index_bits: layout.unitBits + layout.slotBits, close_capacity: UInt32(closeCapacity),
      prepare_bytes: UInt64(prepareBytes), commit_bytes: UInt64(commitBytes), vote_bytes: UInt64(voteBytes))
  }
}

/// What the measurement needs of a worker, in either language. Called once per chunk.
protocol Worker: ~Copyable {
  static var language: String { get }
  init?(_ setup: WorkerSetup, arena: Arena, digestsOutputs: Bool)
  mutating func take(_ packets: UnsafePointer<Packet>, count: Int)
  /// Packets that may be used again.
  var freedCount: UInt64 { get }
  /// Finishes what is in flight and says what everything came to; nil if it does not end.
  mutating func finish() -> ot_outcome?
}

struct SwiftSide: Worker, ~Copyable {
  static var language: String { "swift" }
  private var worker: SwiftWorker
  init?(_ setup: WorkerSetup, arena: Arena, digestsOutputs: Bool) {
    worker = SwiftWorker(setup, memory: arena.tableMemory, digestsOutputs: digestsOutputs)
  }
  mutating func take(_ packets: UnsafePointer<Packet>, count: Int) { worker.run(packets, count: count) }
  var freedCount: UInt64 { worker.freed }
  mutating func finish() -> ot_outcome? { worker.drain() ? worker.outcome() : nil }
}

struct CSide: Worker, ~Copyable {
  static var language: String { "c" }
  private let worker: OpaquePointer
  init?(_ setup: WorkerSetup, arena: Arena, digestsOutputs: Bool) {
    var configuration = setup.forC
    guard let worker = ot_worker_create(&configuration, arena.shared, digestsOutputs) else { return nil }
    self.worker = worker
  }
  deinit { ot_worker_free(worker) }
  mutating func take(_ packets: UnsafePointer<Packet>, count: Int) {
    // The same block of memory under its C name.
    let pointers = UnsafeRawPointer(packets).assumingMemoryBound(to: UnsafeMutablePointer<ot_packet>?.self)
    ot_worker_run(worker, pointers, count)
  }
  var freedCount: UInt64 { ot_worker_freed(worker) }
  mutating func finish() -> ot_outcome? {
    guard ot_worker_drain(worker) else { return nil }
    var outcome = ot_outcome()
    ot_worker_outcome(worker, &outcome)
    return outcome
  }
}

extension ot_outcome {
  /// Names of the fields in which two runs differ.
  func differences(from other: ot_outcome) -> [String] {
    let fields: [(String, KeyPath<ot_outcome, UInt64>)] = [
      ("outputs", \.outputs), ("states", \.states), ("flows", \.flows), ("received", \.received),
      ("processed", \.processed), ("released", \.released), ("freed", \.freed), ("refused", \.refused),
      ("batches prepared", \.batches_prepared), ("batches voted", \.batches_voted),
      ("state clocks taken", \.state_clocks_taken), ("state clocks applied", \.state_clocks_applied),
      ("reordered", \.reordered), ("duplicates", \.duplicates),
    ]
    return fields.compactMap { name, path in
      self[keyPath: path] == other[keyPath: path]
        ? nil : "\(name) \(self[keyPath: path]) against \(other[keyPath: path])"
    }
  }
}
