import Foundation

/// What `deft replay --json` says, as far as it is needed here.
struct ReplayReport: Decodable {
  struct Packets: Decodable {
    var transmitted: UInt64
  }
  struct Latency: Decodable {
    var p50: Double
    var p99: Double
    var p999: Double
  }
  var elapsedSeconds: Double
  var packets: Packets
  var latencyMicroseconds: Latency?
  struct Failure: Decodable {
    var copies: Int
    var takeoverMicroseconds: Double?
    var unprotectedMicroseconds: Double
    var longestLatencyMicroseconds: Double
    var longestSyncLatencyMicroseconds: Double
  }
  struct Migration: Decodable {
    var flows: UInt64
    var milliseconds: Double
    var longestLatencyMicroseconds: Double
  }
  var failures: [Failure]
  var migrations: [Migration]
  var violations: [String]

  /// What left, over the time from the start until the last packet was out: nothing that a user waits for is left out. The
  /// start costs some milliseconds of the run.
  var megapacketsPerSecond: Double { Double(packets.transmitted) / elapsedSeconds / 1e6 }
  func latency() throws -> Latency {
    guard let latencyMicroseconds else { throw BenchFailure("deft reported no latency") }
    return latencyMicroseconds
  }
}

/// The `deft` binary that is measured.
struct DeftProgram {
  let path: String

  static var besideThisProgram: String {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("deft").path
  }

  init(path: String) throws {
    self.path = path
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw BenchFailure("\(path) is not there; build it first: swift build -c release --product deft")
    }
  }

  func generate(_ file: String, options: [String]) throws {
    try ChildProcess(path: path, arguments: ["generate", file, "--quiet"] + options).run()
  }

  func replay(_ input: Input, seconds: Double, replication: Bool, rate: String = "max") throws -> ReplayReport {
    try run(input, ["--replication", replication ? "on" : "off", "--rate", rate], seconds: seconds)
  }

  /// With a failure or a migration on the way, which the report tells of.
  func change(_ input: Input, _ options: [String], seconds: Double) throws -> ReplayReport {
    let report = try run(input, options, seconds: seconds)
    guard report.failures.count + report.migrations.count == 1 else {
      throw BenchFailure("deft on \(input.name): nothing failed and nothing moved; the run was too short")
    }
    return report
  }

  private func run(_ input: Input, _ options: [String], seconds: Double) throws -> ReplayReport {
    let directory = try WorkDirectory()
    defer { directory.remove() }
    let json = "\(directory.path)/report.json"
    try ChildProcess(
      path: path,
      arguments: [
        "replay", input.path, "none", "--loop", "0", "--duration", "\(seconds)s", "--quiet", "--json", json,
      ] + options
    ).run()
    let report = try JSONDecoder().decode(ReplayReport.self, from: Data(contentsOf: URL(fileURLWithPath: json)))
    guard report.violations.isEmpty, report.packets.transmitted > 0 else {
      throw BenchFailure("deft on \(input.name): \(report.violations.first ?? "nothing was transmitted")")
    }
    return report
  }
}
