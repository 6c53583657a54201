/// Logarithm and power from IEEE +, −, × and ÷ alone. Those are the same to the last bit everywhere; the C library's
/// `log` and `pow` are not, and one differing bit would change the file that a seed stands for.
enum PortableMath {
  private static let ln2 = 0.6931471805599453

  /// The natural logarithm of a positive, normal number; relative error below 1e-14.
  static func logarithm(_ x: Double) -> Double {
    precondition(x.isNormal && x > 0)
    var exponent = Double(x.exponent)
    var mantissa = x.significand
    if mantissa > 1.4142135623730951 {
      mantissa /= 2
      exponent += 1
    }
    // ln m = 2 artanh((m − 1) / (m + 1)), |(m − 1) / (m + 1)| < 0.172
    let s = (mantissa - 1) / (mantissa + 1)
    let square = s * s
    var sum = 0.0
    for n in stride(from: 19.0, through: 1, by: -2) { sum = sum * square + 1 / n }
    return 2 * s * sum + exponent * ln2
  }

  /// e to the power of `x`, for |x| < 700.
  static func exponential(_ x: Double) -> Double {
    precondition(x.magnitude < 700)
    let power = (x / ln2).rounded()
    let rest = x - power * ln2
    var sum = 1.0
    for n in stride(from: 16.0, through: 1, by: -1) { sum = 1 + sum * rest / n }
    return sum * Double(sign: .plus, exponent: Int(power), significand: 1)
  }

  static func power(_ base: Double, _ exponent: Double) -> Double { exponential(exponent * logarithm(base)) }
}
