/// Throughput on one input: testpmd, deft with replication and deft without, in turn. Without replication only where the
/// cost of replication is asked for.
struct WholePath {
  let deft: DeftProgram
  let testpmd: Testpmd?
  let runs: Int
  let seconds: Double

  func measure(_ input: Input) throws {
    var yardstick: [Double] = []
    var on: [Double] = []
    var off: [Double] = []
    for _ in 0..<runs {
      if let testpmd { yardstick.append(try testpmd.megapacketsPerSecond(input)) }
      on.append(try deft.replay(input, seconds: seconds, replication: true).megapacketsPerSecond)
      if input.comparesReplication {
        off.append(try deft.replay(input, seconds: seconds, replication: false).megapacketsPerSecond)
      }
    }
    Figure.show("whole.\(input.name).deft", median(on), "Mpps")
    if testpmd != nil {
      Figure.show("whole.\(input.name).testpmd", median(yardstick), "Mpps")
      Figure.show("whole.\(input.name).ratio", medianRatio(on, yardstick))
    }
    if input.comparesReplication {
      Figure.show("replication.\(input.name).on", median(on), "Mpps")
      Figure.show("replication.\(input.name).off", median(off), "Mpps")
      Figure.show("replication.\(input.name).ratio", medianRatio(on, off))
    }
  }
}

/// Stamp to release at a fixed rate, with replication and without, in turn.
struct Latency {
  let deft: DeftProgram
  let runs: Int
  let seconds: Double
  let rate: String

  func measure(_ input: Input) throws {
    var on: [ReplayReport.Latency] = []
    var off: [ReplayReport.Latency] = []
    for _ in 0..<runs {
      on.append(try deft.replay(input, seconds: seconds, replication: true, rate: rate).latency())
      off.append(try deft.replay(input, seconds: seconds, replication: false, rate: rate).latency())
    }
    for (name, percentile) in [("p50", \ReplayReport.Latency.p50), ("p99", \.p99), ("p999", \.p999)] {
      let (with, without) = (on.map { $0[keyPath: percentile] }, off.map { $0[keyPath: percentile] })
      Figure.show("latency.on.\(name)", median(with), "µs")
      Figure.show("latency.off.\(name)", median(without), "µs")
      Figure.show("latency.added.\(name)", median(zip(with, without).map { $0 - $1 }), "µs")
    }
  }
}
