/// Counts of latencies in ns, on an lcore: 64 steps per power of two, so within 1.6 %. Feeding it costs a few cycles and
/// never allocates; summaries copy it into an HdrHistogram.
public struct LatencyHistogram: ~Copyable {
  static let stepsPerOctave = 64
  static let octaves = 40
  private let counts: UnsafeMutablePointer<UInt64>

  public init() {
    counts = .allocate(capacity: LatencyHistogram.octaves * LatencyHistogram.stepsPerOctave)
    counts.initialize(repeating: 0, count: LatencyHistogram.octaves * LatencyHistogram.stepsPerOctave)
  }
  deinit { counts.deallocate() }

  @inline(__always)
  public func record(_ nanoseconds: UInt64, count: UInt64) {
    counts[LatencyHistogram.index(nanoseconds)] &+= count
  }

  @inline(__always)
  static func index(_ value: UInt64) -> Int {
    let octave = max(0, 57 - value.leadingZeroBitCount)
    let index = octave * stepsPerOctave + Int(truncatingIfNeeded: value >> UInt64(octave))
    return min(index, octaves * stepsPerOctave - 1)
  }
  /// A value that `index` maps to `index`: the middle of its step.
  static func value(_ index: Int) -> UInt64 {
    let octave = max(0, index / stepsPerOctave - 1)
    let base = UInt64(index - octave * stepsPerOctave) << UInt64(octave)
    return base + (UInt64(1) << UInt64(octave)) / 2
  }

  func copy() -> [UInt64] {
    Array(UnsafeBufferPointer(start: counts, count: LatencyHistogram.octaves * LatencyHistogram.stepsPerOctave))
  }
  /// The longest that was counted between two copies, ns; 0: nothing was.
  static func longest(from before: [UInt64], to after: [UInt64]) -> UInt64 {
    after.indices.last { after[$0] != before[$0] }.map { value($0) } ?? 0
  }

  /// Every non-empty step as (ns, count), ascending.
  public func steps() -> [(nanoseconds: UInt64, count: UInt64)] {
    (0..<LatencyHistogram.octaves * LatencyHistogram.stepsPerOctave).compactMap { index in
      counts[index] == 0 ? nil : (LatencyHistogram.value(index), counts[index])
    }
  }
}
