/// Popularity by rank: the k-th most popular of `count` flows has a share proportional to 1 / kˢ.
struct ZipfDistribution {
  let count: Int
  /// s. 0: all flows alike; 1: Zipf's law.
  let exponent: Double

  /// Shares `total` out to the ranks, most popular first. Every rank gets `minimum`, the rest goes by popularity; what
  /// rounding leaves over goes to the most popular. The results sum to `total`.
  func apportion(_ total: Int, minimum: Int) -> [Int] {
    precondition(count > 0 && total >= count * minimum)
    var weights = [Double](repeating: 0, count: count)
    var sum = 0.0
    for rank in 0..<count {
      weights[rank] = PortableMath.power(Double(rank + 1), -exponent)
      sum += weights[rank]
    }
    let shared = total - count * minimum
    var shares = [Int](repeating: minimum, count: count)
    var left = shared
    for rank in 0..<count {
      let share = min(left, Int(Double(shared) * weights[rank] / sum))
      shares[rank] += share
      left -= share
    }
    // Fewer than `count` are left, up to rounding of the weights' sum.
    var rank = 0
    while left > 0 {
      shares[rank] += 1
      left -= 1
      rank = rank + 1 == count ? 0 : rank + 1
    }
    return shares
  }
}
