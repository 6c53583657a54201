import Testing

@testable import DEFTCore

/// Random runs with failing hosts. A failing case names its seed.
@Suite struct FailoverSeedTests {
  static func run(seed: UInt64, steps: Int, _ change: (inout HarnessOptions) -> Void = { _ in }) -> FailoverHarness {
    var random = SeededGenerator(seed: seed &* 0x1000_0003)
    var options = HarnessOptions.random(&random)
    options.slots = 16
    options.replication.acknowledgeTimeout = UInt64(random.oneOf([1_000, 10_000]))
    options.replication.policy = random.oneOf([.hold, .release])
    options.replication.snapshotChunk = random.oneOf([1, 2, 8])
    change(&options)
    let harness = FailoverHarness(options, seed: seed)
    harness.releaseLoss = random.oneOf([0, 0, 5, 50])
    harness.run(steps: steps, failures: random.oneOf([3, 10, 40]))
    harness.settle(withSecondary: true)
    return harness
  }

  @Test(arguments: UInt64(1)...200) func anyFailureAtAnyStep(seed: UInt64) {
    let harness = Self.run(seed: seed, steps: 8_000)
    #expect(harness.violation == nil, "seed \(seed): \(harness.violation!) with \(harness.options)")
  }

  /// The runs reach what they are meant to reach.
  @Test func runsAreNotTrivial() {
    var sums = (out: 0, takeovers: 0, inDoubt: 0, syncs: 0, finished: 0, again: 0, repaired: 0, suppressed: 0)
    for seed in UInt64(1)...40 {
      let harness = Self.run(seed: seed, steps: 8_000)
      sums.out += harness.transmitted
      sums.takeovers += harness.takeovers
      sums.inDoubt += harness.inDoubt
      sums.syncs += harness.syncs
      sums.finished += harness.syncsFinished
      sums.again += harness.retransmitted
      sums.repaired += harness.repaired
      sums.suppressed += Int(harness.suppressed)
    }
    #expect(sums.out > 5_000 && sums.takeovers > 40 && sums.inDoubt > 100 && sums.finished > 40, "\(sums)")
    #expect(sums.syncs > sums.finished && sums.again > 100 && sums.repaired > 50 && sums.suppressed > 100, "\(sums)")
  }
}
