/// SplitMix64: the same numbers for the same seed on every machine.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64
  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// 0 ..< bound.
  mutating func below(_ bound: Int) -> Int { Int(((next() >> 32) &* UInt64(bound)) >> 32) }
  mutating func below(_ bound: UInt64) -> UInt64 { ((next() >> 32) &* bound) >> 32 }
  /// True once in `bound` times; never for 0.
  mutating func oneIn(_ bound: Int) -> Bool { bound > 0 && below(bound) == 0 }
  mutating func oneOf<T>(_ values: [T]) -> T { values[below(values.count)] }
  /// About `mean`, seldom much more: the sum of two even ones, and now and then eight times that.
  mutating func around(_ mean: UInt64) -> UInt64 {
    let value = below(mean + 1) + below(mean + 1)
    return below(16) == 0 ? value * 8 : value
  }
}
