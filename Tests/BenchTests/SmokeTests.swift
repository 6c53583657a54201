import Foundation
import Testing

/// The benchmarks run, and every figure they print can be read. Nothing is said about its size: that is for `make bench`.
@Suite("Benchmarks", .serialized)
struct SmokeTests {
  @Test("ordering")
  func ordering() throws {
    let figures = try Benchmark.run("deft-bench-ordering", ["--smoke"])
    for flows in ["1k", "64k", "1m"] {
      for language in ["swift", "c"] {
        let figure = try #require(figures["ordering.\(language).\(flows)"])
        #expect(figure.value > 0 && figure.unit == "cycles/packet")
      }
      let ratio = try #require(figures["ordering.ratio.\(flows)"])
      #expect(ratio.value > 0 && ratio.unit == nil)
    }
    #expect(figures.count == 9)
  }

  @Test("ordering, with packets out of order: the outputs of both languages are the same")
  func outOfOrder() throws {
    let figures = try Benchmark.run("deft-bench-ordering", ["--smoke", "--kiloflows", "1", "--out-of-order", "0.1"])
    #expect(figures.count == 3)
  }

  @Test("whole path")
  func wholePath() throws {
    let figures = try Benchmark.run("deft-bench", ["--smoke"])
    var expected = ["whole.64b.deft": "Mpps", "replication.64b.on": "Mpps", "replication.64b.off": "Mpps"]
    if Benchmark.hasTestpmd { expected["whole.64b.testpmd"] = "Mpps" }
    for percentile in ["p50", "p99", "p999"] {
      expected["latency.on.\(percentile)"] = "µs"
      expected["latency.off.\(percentile)"] = "µs"
    }
    expected["snapshot.1k.unprotected"] = "ms"
    expected["snapshot.1k.longest"] = "ms"
    expected["migration.1k.duration"] = "ms"
    expected["migration.1k.longest"] = "ms"
    let takeover = try #require(figures.first { $0.key.hasPrefix("takeover.copies") }, "no figure of a takeover")
    #expect(takeover.value.value > 0 && takeover.value.unit == "µs")
    for (name, unit) in expected {
      let figure = try #require(figures[name], "\(name) is missing")
      #expect(figure.value > 0 && figure.unit == unit, "\(name) \(figure)")
    }
    for name in ["replication.64b.ratio"] + (Benchmark.hasTestpmd ? ["whole.64b.ratio"] : []) {
      let ratio = try #require(figures[name], "\(name) is missing")
      #expect(ratio.value > 0 && ratio.unit == nil, "\(name) \(ratio)")
    }
    // What is added may be less than nothing in so short a run.
    #expect(figures["latency.added.p50"]?.unit == "µs" && figures["latency.added.p99"]?.unit == "µs")
  }
}
