import ArgumentParser
import Foundation

/// `deft-bench-ordering`: the primary's worker loop in Swift, as shipped, against the same loop in C.
@main
struct OrderingBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "deft-bench-ordering",
    abstract: "Cycles per packet of ordering, monitor and batching: the shipping Swift against the same loop in C.",
    discussion: """
      Both take the same packets from the same memory in turn; their outputs, states and counters must be the same. Figures
      are medians of --runs runs, the ratio is the median of the ratios of neighbouring runs.
      """)

  @Option(help: "Runs of each language.")
  var runs = 31
  @Option(help: "Timed packets of a run.")
  var packets = 1_048_576
  @Option(help: "Seed of the order of flows.")
  var seed: UInt64 = 1
  @Option(
    name: .customLong("out-of-order"), help: "Share of packets that change places with a later one of their flow (0…0.5).")
  var outOfOrder = 0.0
  @Option(help: "Only this number of flows, in thousands (1, 64 or 1024).")
  var kiloflows: Int?
  @Flag(help: "One short run: shows that it works, not how fast it is.")
  var smoke = false

  func validate() throws {
    guard runs >= 1, packets >= 1, (0...0.5).contains(outOfOrder) else {
      throw ValidationError("--runs and --packets are at least 1, --out-of-order is 0…0.5")
    }
    if let kiloflows, ![1, 64, 1024].contains(kiloflows) { throw ValidationError("--kiloflows is 1, 64 or 1024") }
  }

  func run() throws {
    // A pool as small as what is in flight: a few state clocks, and the window.
    let memory = PacketMemory(count: 16_384)
    print(
      "# ordering: \(smoke ? "smoke run, figures mean nothing" : "\(runs) runs of \(packets) packets each, medians"); seed \(seed), out of order \(outOfOrder)"
    )
    for (name, flows) in [("1k", 1 << 10), ("64k", 1 << 16), ("1m", 1 << 20)] {
      if let kiloflows, kiloflows << 10 != flows { continue }
      let figures = try Measurement(
        flows: flows, seed: seed, outOfOrder: outOfOrder, packets: smoke ? 65_536 : packets, runs: smoke ? 1 : runs
      ).run(memory: memory)
      print(String(format: "ordering.swift.%@ %.1f cycles/packet", name as NSString, figures.swift))
      print(String(format: "ordering.c.%@ %.1f cycles/packet", name as NSString, figures.c))
      print(String(format: "ordering.ratio.%@ %.3f", name as NSString, figures.ratio))
    }
  }
}
