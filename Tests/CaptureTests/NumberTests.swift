import Foundation
import Testing

@testable import DEFTCapture

@Suite struct NumberTests {
  @Test func logarithmAndPower() {
    for x in [1e-16, 0x1p-53, 0.001, 0.5, 0.9999999, 1, 1.0000001, 1.4142135, 2, 10, 1e6, 1e300] {
      #expect(abs(PortableMath.logarithm(x) - log(x)) <= 1e-13 * max(1, abs(log(x))))
    }
    for x in [-20.0, -1, -0.3, 0, 1e-9, 0.5, 3, 40] {
      #expect(abs(PortableMath.exponential(x) / exp(x) - 1) < 1e-13)
    }
    #expect(abs(PortableMath.power(1000, -1.2) / pow(1000, -1.2) - 1) < 1e-12)
  }

  /// SplitMix64's published first outputs for seed 1234567.
  @Test func splitMix() {
    var state: UInt64 = 1_234_567
    #expect(SplitMix64.next(&state) == 6_457_827_717_110_365_317)
    #expect(SplitMix64.next(&state) == 3_203_168_211_198_807_973)
  }

  @Test func uniformAndExponential() {
    var random = SeededGenerator(seed: 1, stream: 0)
    var buckets = [Int](repeating: 0, count: 10)
    var sum = 0.0
    for _ in 0..<100_000 {
      buckets[random.below(10)] += 1
      sum += random.exponential()
    }
    #expect(buckets.allSatisfy { (9_500...10_500).contains($0) })
    #expect(abs(sum / 100_000 - 1) < 0.02)
  }

  @Test func streamsDiffer() {
    var a = SeededGenerator(seed: 1, stream: 0)
    var b = SeededGenerator(seed: 1, stream: 1)
    var c = SeededGenerator(seed: 2, stream: 0)
    let first = a.next()
    #expect(first != b.next() && first != c.next())
  }

  @Test(arguments: [(1, 0.0), (1, 1.0), (7, 1.0), (1000, 1.0), (1000, 3.0), (100_000, 0.5)])
  func zipfShares(count: Int, exponent: Double) {
    let zipf = ZipfDistribution(count: count, exponent: exponent)
    for (total, minimum) in [(count, 1), (count * 20 + 3, 2), (1_000_003, 0)] {
      let shares = zipf.apportion(total, minimum: minimum)
      #expect(shares.count == count && shares.reduce(0, +) == total && shares.min()! >= minimum)
    }
  }

  @Test func zipfLaw() {
    let shares = ZipfDistribution(count: 100, exponent: 1).apportion(1_000_000, minimum: 0)
    #expect(abs(Double(shares[0]) / Double(shares[9]) - 10) < 0.01)
  }

  @Test func checksum() {
    // RFC 1071 §3
    let words: [UInt8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]
    #expect(words.withUnsafeBytes { InternetChecksum.sum($0.baseAddress!, count: 8) } == 0xddf2)
    #expect(words.withUnsafeBytes { InternetChecksum.sum($0.baseAddress!, count: 3) } == 0xf201)
    #expect(InternetChecksum.field(0xddf2) == 0x220d)
    #expect(InternetChecksum.sum(0x0001_f203_f4f5_f6f7 as UInt64) == 0x2ddf0)
  }

  @Test func arrivals() {
    var clock = ArrivalClock(packets: 10_000, duration: 1_000_000_000, seed: 3)
    let times = (0..<10_000).map { _ in clock.next() }
    #expect(times[0] == 0 && zip(times, times.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(times.last! <= 1_000_000_000 && times.last! > 990_000_000)
    // Exponential gaps: a share of 1/e is longer than the mean.
    let long = zip(times, times.dropFirst()).count { $1 - $0 > 100_000 }
    #expect(abs(Double(long) / 10_000 - 0.368) < 0.03)
  }
}
