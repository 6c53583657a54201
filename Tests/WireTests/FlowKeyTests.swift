import DEFTWire
import Testing

@Suite struct FlowKeyTests {
  private func key(_ flow: UInt64) -> FlowKey {
    // As real flows do: addresses and ports that count up.
    FlowKey(
      a: (10 << 24 | flow >> 6) | (192 << 24 | 168 << 16 | 1) << 32, b: 0, c: 0, d: 0, lower: UInt16(1024 + flow & 63),
      upper: 443, ipProtocol: 6, kind: .ipv4)
  }

  /// Chi-square of 65,536 flows over 1,024 buckets: expected 1,023, standard deviation 45.
  private func chiSquare(_ bucket: (FlowKey) -> Int) -> Double {
    var buckets = [Int](repeating: 0, count: 1024)
    for flow in 0..<UInt64(65_536) { buckets[bucket(key(flow))] += 1 }
    return buckets.reduce(0) { $0 + Double(($1 - 64) * ($1 - 64)) / 64 }
  }

  @Test(arguments: [UInt64(0), 1, 0x9E37_79B9_7F4A_7C15, .max]) func hashSpreads(_ seed: UInt64) {
    let low = chiSquare { Int($0.hash(seed: seed) & 1023) }
    let high = chiSquare { Int($0.hash(seed: seed) >> 54) }
    let tag = chiSquare { Int($0.hash(seed: seed) >> 48 & 1023) }
    for statistic in [low, high, tag] { #expect(statistic > 750 && statistic < 1_350) }
  }

  @Test func hashDependsOnSeedAndOnEveryWord() {
    // Not the seed in a word: a product with 0 forgets its other factor (only who knows the seed can arrange that).
    let base = FlowKey(a: 11, b: 12, c: 13, d: 14, lower: 5, upper: 6, ipProtocol: 7, kind: .ipv6)
    #expect(base.hash(seed: 1) != base.hash(seed: 2))
    for bit in 0..<64 {
      for path: WritableKeyPath<FlowKey, UInt64> in [\.a, \.b, \.c, \.d, \.e] {
        var other = base
        other[keyPath: path] ^= 1 << UInt64(bit)
        #expect(other != base)
        #expect(other.hash(seed: 1) != base.hash(seed: 1))
      }
    }
  }

  @Test func keysKeepTheirPartsApart() {
    let key = FlowKey(a: 0, b: 0, c: 0, d: 0, lower: 0x1234, upper: 0x5678, ipProtocol: 0x9a, kind: .runt)
    #expect(key.e == 0x06_9a_5678_1234)
    #expect(MemoryLayout<FlowKey>.size == 40)
  }
}
