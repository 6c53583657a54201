import Foundation

/// What failures and migrations cost while packets flow: how long each takes, and the longest that any packet took from stamp
/// to release meanwhile, which is the longest pause that a flow saw.
struct Changes {
  let deft: DeftProgram
  let directory: String
  let runs: Int
  let smoke: Bool

  /// 64-byte frames of so many flows, in turn, so that every flow is alive all the time.
  private func capture(flows: Int) throws -> Input {
    let path = "\(directory)/flows\(flows).pcap"
    if !FileManager.default.fileExists(atPath: path) {
      try deft.generate(
        path,
        options: [
          "--profile", "64b", "--packets", "\(flows)", "--flows", "\(flows)", "--order", "round-robin", "--seed", "1",
        ])
    }
    return try Input(name: "flows\(flows)", path: path)
  }

  private static func name(_ count: Int) -> String {
    count >= 1_000_000 ? "\(count / 1_000_000)M" : count >= 1000 ? "\(count / 1000)k" : "\(count)"
  }

  func measure() throws {
    try takeover()
    for flows in smoke ? [1000] : [1000, 100_000, 1_000_000] { try snapshot(flows: flows) }
    try migration(flows: smoke ? 1000 : 100_000)
  }

  /// The more packets wait for their commit, the more copies a successor looks at.
  private func takeover() throws {
    let input = try capture(flows: 1000)
    for stateClock in smoke ? [256] : [256, 2048, 8192] {
      var reports: [ReplayReport.Failure] = []
      for _ in 0..<runs {
        let report = try deft.change(
          input, ["--fail-primary-at", smoke ? "20000" : "500000", "--state-clock", "\(stateClock)"], seconds: 1)
        reports += report.failures
      }
      let copies = Int(median(reports.map { Double($0.copies) }))
      Figure.show("takeover.copies\(copies)", median(reports.map { $0.takeoverMicroseconds ?? 0 }), "µs")
    }
  }

  /// A secondary fails, and a new one gets a snapshot; what leaves meanwhile leaves unprotected, and is not held back. The
  /// longest pause is that during the snapshot: before that packets wait for the failure to be noticed.
  private func snapshot(flows: Int) throws {
    let input = try capture(flows: flows)
    var reports: [ReplayReport.Failure] = []
    for _ in 0..<runs {
      let report = try deft.change(
        input,
        ["--fail-secondary-at", "\(2 * flows)", "--unprotected", "release", "--rate", "1M", "--flows", "\(flows)"],
        seconds: 3 + Double(flows) / 200_000)
      reports += report.failures
    }
    let name = "snapshot.\(Changes.name(flows))"
    Figure.show("\(name).unprotected", median(reports.map { $0.unprotectedMicroseconds / 1000 }), "ms")
    Figure.show("\(name).longest", median(reports.map { $0.longestSyncLatencyMicroseconds / 1000 }), "ms")
  }

  /// All flows of one of two pairs move to the other.
  private func migration(flows: Int) throws {
    let input = try capture(flows: 2 * flows)
    var reports: [ReplayReport.Migration] = []
    for _ in 0..<runs {
      let report = try deft.change(
        input, ["--pairs", "2", "--migrate", "0:1@\(4 * flows)", "--rate", "1M", "--flows", "\(2 * flows)"], seconds: 3)
      reports += report.migrations
    }
    let name = "migration.\(Changes.name(Int(median(reports.map { Double($0.flows) }))))"
    Figure.show("\(name).duration", median(reports.map(\.milliseconds)), "ms")
    Figure.show("\(name).longest", median(reports.map { $0.longestLatencyMicroseconds / 1000 }), "ms")
  }
}
