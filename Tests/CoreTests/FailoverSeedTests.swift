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
    harness.settle()
    return harness
  }

  @Test(arguments: UInt64(1)...200) func anyFailureAtAnyStep(seed: UInt64) {
    let harness = Self.run(seed: seed, steps: 4_000) { $0.replication.policy = .release }
    #expect(harness.violation == nil, "seed \(seed): \(harness.violation!) with \(harness.options)")
  }
}
