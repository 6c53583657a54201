import CDPDK
import COrderingTwin
import DEFTCore

/// One number of flows: runs of the two workers in turn over the same packets in the same memory.
struct Measurement {
  struct Figures {
    var swift: Double
    var c: Double
    /// Median of the ratios of neighbouring runs, so that a slow spell of the machine hits both.
    var ratio: Double
  }
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  let flows: Int
  let seed: UInt64
  let outOfOrder: Double
  /// Timed packets of a run, and runs of each worker.
  let packets: Int
  let runs: Int

  /// Packets stamped, then timed, in one go: few enough to be in the cache when the worker gets them, as in the pipeline.
  private static let chunk = 1024
  /// Chunks of which the cycles are added up: 16 state clocks. A run is the median of these sums, so that being preempted
  /// does not count.
  private static let window = 64

  func run(memory: PacketMemory) throws -> Figures {
    let setup = WorkerSetup(flows: flows)
    let arena = Arena(size: setup.arenaBytes)
    try compare(
      try once(SwiftSide.self, setup, arena, memory, seed: seed, digestsOutputs: true).outcome,
      try once(CSide.self, setup, arena, memory, seed: seed, digestsOutputs: true).outcome)
    var swift: [Double] = []
    var c: [Double] = []
    for run in 0..<runs {
      let seed = seed &+ UInt64(run)
      // A B, then B A: neither is always the first.
      let both =
        run % 2 == 0
        ? (
          try once(SwiftSide.self, setup, arena, memory, seed: seed), try once(CSide.self, setup, arena, memory, seed: seed)
        )
        : swapped(
          try once(CSide.self, setup, arena, memory, seed: seed), try once(SwiftSide.self, setup, arena, memory, seed: seed))
      try compare(both.0.outcome, both.1.outcome)
      swift.append(both.0.cycles)
      c.append(both.1.cycles)
    }
    return Figures(swift: median(swift), c: median(c), ratio: median(zip(swift, c).map { $0 / $1 }))
  }

  private func swapped<T>(_ first: T, _ second: T) -> (T, T) { (second, first) }

  private func compare(_ swift: ot_outcome, _ c: ot_outcome) throws {
    let differences = swift.differences(from: c)
    guard differences.isEmpty else {
      throw Failure(description: "the two workers differ at \(flows) flows: " + differences.joined(separator: ", "))
    }
  }

  /// A fresh worker: first every flow once, then what is timed, then the rest of what is in flight.
  private func once<W: Worker & ~Copyable>(
    _ type: W.Type, _ setup: WorkerSetup, _ arena: Arena, _ memory: PacketMemory, seed: UInt64,
    digestsOutputs: Bool = false
  ) throws -> (cycles: Double, outcome: ot_outcome) {
    arena.empty()
    guard var worker = W(setup, arena: arena, digestsOutputs: digestsOutputs) else {
      throw Failure(description: "the arena is too small")
    }
    var traffic = Traffic(flows: flows, layout: setup.layout, seed: seed, outOfOrder: outOfOrder)
    var given = 0
    /// The next chunk of the pool, round and round. Nothing of it may be in flight any more.
    func nextChunk() throws -> UnsafePointer<Packet> {
      guard given + Self.chunk - Int(worker.freedCount) <= memory.count else {
        throw Failure(description: "\(W.language): more packets in flight than there is memory for")
      }
      defer { given += Self.chunk }
      return UnsafePointer(memory.packets + given % memory.count)
    }
    for _ in 0..<max(1, flows / Self.chunk) {
      let chunk = try nextChunk()
      traffic.stampInTurn(chunk, count: Self.chunk)
      worker.take(chunk, count: Self.chunk)
    }
    var windows: [Double] = []
    for _ in 0..<max(1, packets / (Self.chunk * Self.window)) {
      var cycles: UInt64 = 0
      for _ in 0..<Self.window {
        let chunk = try nextChunk()
        traffic.stamp(chunk, count: Self.chunk)
        let before = cd_tsc()
        worker.take(chunk, count: Self.chunk)
        cycles &+= cd_tsc() &- before
      }
      windows.append(Double(cycles) / Double(Self.chunk * Self.window))
    }
    guard let outcome = worker.finish() else {
      throw Failure(description: "\(W.language): packets are left in flight at the end")
    }
    return (median(windows), outcome)
  }

  private func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
