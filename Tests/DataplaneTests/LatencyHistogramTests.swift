import Testing

@testable import DEFTDataplane

/// What is reported is what was measured.
@Suite struct LatencyHistogramTests {
  /// Each value falls into a step whose middle is within 1/64 of it, over the whole range; and longer ones never into an
  /// earlier step.
  @Test func everyValueIsInItsStep() {
    var values: [UInt64] = (0..<512).map { $0 }
    for octave in 9..<45 {
      for step in 0..<257 { values.append((UInt64(1) << UInt64(octave)) + UInt64(step) << UInt64(octave - 8)) }
    }
    var last = 0
    for value in values.sorted() {
      let index = LatencyHistogram.index(value)
      let middle = LatencyHistogram.value(index)
      let error = middle > value ? middle - value : value - middle
      #expect(error * 64 <= value, "\(value) ns are reported as \(middle)")
      #expect(index >= last)
      last = index
    }
  }

  /// Beyond the range (hours) everything is counted as the longest.
  @Test func theLongestIsBounded() {
    let last = LatencyHistogram.octaves * LatencyHistogram.stepsPerOctave - 1
    #expect(LatencyHistogram.index(.max) == last && LatencyHistogram.index(1 << 62) == last)
  }

  @Test func summaryAndLongest() {
    let recorded = LatencyHistogram()
    recorded.record(70_000, count: 3)
    let before = recorded.copy()
    recorded.record(1_000_000, count: 1)
    let longest = LatencyHistogram.longest(from: before, to: recorded.copy())
    #expect(longest > 984_000 && longest < 1_016_000)
    #expect(LatencyHistogram.longest(from: before, to: before) == 0)
    let steps = recorded.steps()
    #expect(steps.map(\.count) == [3, 1] && steps[0].nanoseconds > 69_000 && steps[0].nanoseconds < 71_000)
  }
}
