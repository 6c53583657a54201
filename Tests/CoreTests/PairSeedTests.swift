import DEFTCore
import Testing

/// Random runs of a pair. A failing case names its seed; `PairHarness(options, seed:)` runs it again.
@Suite struct PairSeedTests {
  private func run(seed: UInt64, steps: Int, _ change: (inout HarnessOptions) -> Void = { _ in }) -> PairHarness {
    var random = SeededGenerator(seed: seed &* 0x1000_0001)
    var options = HarnessOptions.random(&random)
    change(&options)
    let harness = PairHarness(options, seed: seed)
    harness.run(steps: steps)
    harness.settle(closingFlows: seed % 2 == 0)
    return harness
  }

  @Test(arguments: UInt64(1)...300) func anyOrderOfEvents(seed: UInt64) {
    let harness = run(seed: seed, steps: 3_000)
    #expect(harness.violation == nil, "seed \(seed): \(harness.violation!) with \(harness.options)")
  }

  /// Counters wrap within the first packets of every flow.
  @Test(arguments: UInt64(1001)...1040) func countersWrap(seed: UInt64) {
    let harness = run(seed: seed, steps: 2_000) {
      $0.firstCounter = 0xffff_fff0
      $0.keys = 3
    }
    #expect(harness.violation == nil, "seed \(seed): \(harness.violation!) with \(harness.options)")
  }

  private func lossyRun(seed: UInt64, steps: Int, _ change: (inout HarnessOptions) -> Void = { _ in }) -> PairHarness {
    var random = SeededGenerator(seed: seed &* 0x1000_0001)
    var options = HarnessOptions.lossy(&random)
    change(&options)
    let harness = PairHarness(options, seed: seed)
    harness.run(steps: steps)
    harness.settle(closingFlows: seed % 2 == 0)
    return harness
  }

  /// Packets are lost on the way to either replica, or to both; connections are cut (B3, R4, R5, R10).
  @Test(arguments: UInt64(2001)...2300) func losses(seed: UInt64) {
    let harness = lossyRun(seed: seed, steps: 3_000)
    #expect(harness.violation == nil, "seed \(seed): \(harness.violation!) with \(harness.options)")
    #expect(harness.destroyed.isSubset(of: harness.lost), "seed \(seed): lost on both ways, and not declared lost")
  }

  @Test(arguments: UInt64(3001)...3040) func lossesWhileCountersWrap(seed: UInt64) {
    let harness = lossyRun(seed: seed, steps: 2_000) {
      $0.firstCounter = 0xffff_fff0
      $0.keys = 3
    }
    #expect(harness.violation == nil, "seed \(seed): \(harness.violation!) with \(harness.options)")
  }

  /// Lossy runs reach what they are meant to reach.
  @Test func lossyRunsAreNotTrivial() {
    var sums = RepairCounters()
    var (destroyed, lost) = (0, 0)
    for seed in UInt64(2001)...2030 {
      let harness = lossyRun(seed: seed, steps: 3_000)
      for one in [harness.primary.counters.repair, harness.secondary.counters.repair] {
        sums.taken += one.taken
        sums.needless += one.needless
        sums.missing += one.missing
        sums.uncovered += one.uncovered
        sums.lateLost += one.lateLost
        sums.tableFull += one.tableFull
        sums.logFull += one.logFull
        sums.poolEmpty += one.poolEmpty
        sums.noRoom += one.noRoom
      }
      destroyed += harness.destroyed.count
      lost += harness.lost.count
    }
    #expect(destroyed > 50 && lost >= destroyed && sums.taken > 1_000 && sums.missing > 200, "\(lost), \(sums)")
    #expect(sums.uncovered > 100 && sums.needless > 10 && sums.poolEmpty > 10, "\(sums)")
    #expect(sums.tableFull > 0 && sums.noRoom > 0, "\(sums)")
  }

  /// The runs reach what they are meant to reach.
  @Test func runsAreNotTrivial() {
    var sums = (out: 0, closes: 0, again: 0, rewinds: 0, waits: 0, heldBack: 0, staleOrDouble: 0)
    for seed in UInt64(1)...20 {
      let harness = run(seed: seed, steps: 3_000)
      sums.out += harness.transmitted.count
      sums.closes += harness.closesCommitted
      sums.again += harness.cameAgain
      sums.rewinds += harness.prepares.rewinds
      sums.waits += harness.prepares.refusals + harness.commits.refusals
      sums.heldBack += Int(harness.egress.everHeld)
      sums.staleOrDouble += Int(harness.primary.counters.duplicates + harness.primary.counters.staleGeneration)
    }
    #expect(sums.out > 1_000 && sums.closes > 50 && sums.again > 20 && sums.rewinds > 50, "\(sums)")
    #expect(sums.waits > 5 && sums.heldBack > 50 && sums.staleOrDouble > 100, "\(sums)")
  }
}
