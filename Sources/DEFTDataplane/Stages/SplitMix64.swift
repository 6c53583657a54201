/// The seeded numbers that injected faults are drawn from.
enum SplitMix64 {
  static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

  /// The number that follows on a state; the next state is `increment` further.
  static func output(after state: UInt64) -> UInt64 {
    var z = state &+ increment
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// A number is below it with this probability, but for 1: then all but one are.
  static func threshold(_ probability: Double) -> UInt64 {
    probability >= 1 ? .max : UInt64(probability * 18_446_744_073_709_551_615.0)
  }
}
