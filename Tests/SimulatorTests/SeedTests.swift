import DEFTSimulator
import Testing

/// Few seeds, in whatever build the tests are; `deft simulate` runs the many.
@Suite struct SeedTests {
  @Test func seedsAreClean() {
    let summary = SeedRunner.run(from: 1, count: 150, jobs: 2)
    for failure in summary.failures {
      Issue.record("seed \(failure.seed): \(failure.violation!.property.rawValue): \(failure.violation!.detail)")
    }
    #expect(summary.runs == 150)
  }

  /// One seed, one run: also when other runs came before it on the same thread.
  @Test func aSeedGivesTheSameRunAgain() {
    func trace(_ runner: SeedRunner, _ seed: UInt64) -> [String] {
      var lines: [String] = []
      _ = runner.run(SimulationOptions(seed: seed)) { lines.append($0) }
      return lines
    }
    let runner = SeedRunner()
    let first = trace(runner, 42)
    _ = trace(runner, 43)
    #expect(trace(runner, 42) == first)
    #expect(trace(SeedRunner(), 42) == first)
    #expect(first.count > 50)
  }
}
