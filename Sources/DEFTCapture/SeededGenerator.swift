/// xoshiro256** (Blackman, Vigna 2018), seeded by SplitMix64. The standard library's `random(in:using:)` may change its
/// way of using a generator, so what is drawn from it is defined here too: one seed, the same numbers everywhere.
struct SeededGenerator {
  private var s0: UInt64
  private var s1: UInt64
  private var s2: UInt64
  private var s3: UInt64

  /// - Parameter stream: generators of the same seed and different streams are independent, so that one more number
  ///   drawn for the sizes does not change all the addresses.
  init(seed: UInt64, stream: UInt64) {
    var state = seed &+ SplitMix64.mix(stream &+ 1)
    s0 = SplitMix64.next(&state)
    s1 = SplitMix64.next(&state)
    s2 = SplitMix64.next(&state)
    s3 = SplitMix64.next(&state)
  }

  mutating func next() -> UInt64 {
    let product = s1 &* 5
    let result = ((product << 7) | (product >> 57)) &* 9
    let t = s1 << 17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << 45) | (s3 >> 19)
    return result
  }

  /// Uniform in 0 ..< `bound`, by multiplication (the bias is below `bound` / 2⁶⁴).
  mutating func below(_ bound: Int) -> Int {
    precondition(bound > 0)
    return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// True in `numerator` of `denominator` cases.
  mutating func chance(_ numerator: Int, of denominator: Int) -> Bool { below(denominator) < numerator }

  /// Uniform in 0 ..< 1, in steps of 2⁻⁵³.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Exponentially distributed, mean 1.
  mutating func exponential() -> Double { -PortableMath.logarithm(1 - unit()) }

  mutating func shuffle<T>(_ values: inout [T], first count: Int) {
    guard count > 1 else { return }
    for last in stride(from: count - 1, to: 0, by: -1) { values.swapAt(last, below(last + 1)) }
  }
}

/// SplitMix64 (Steele, Lea, Flood 2014): seeds the generator above, and serves as a hash of a flow's number.
enum SplitMix64 {
  static func next(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return mix(state)
  }

  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
