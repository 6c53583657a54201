import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// DPDK's telemetry socket (what dpdk-telemetry.py and collectd read), read by hand.
  @Suite("Telemetry", .needsCaptures)
  struct Telemetry {
    @Test("Shows moving counters while packets flow")
    func counters() async throws {
      let directory = try WorkDirectory()
      let capture = try #require(CaptureCase.named("malformed.pcap").first)
      let prefix = "deft-e2e-\(getpid())"
      let arguments = ["--loop", "0", "--duration", "3s", "--rate", "50k", "--pairs", "2", "--json", "-", "--quiet"]
      let running = try RunningDeft(
        ["replay", "--file-prefix", prefix, "--", capture.file.path, "none"] + arguments, in: directory)
      let socket = try #require(try await TelemetrySocket.connect(prefix: prefix, within: 20))

      let lcores = ["received", "processed", "transmitted", "rounds", "total_cycles"]
      let pairs = ["received", "processed", "released"]
      for (command, names) in [("/deft/lcores", lcores), ("/deft/pairs", pairs), ("/deft/batches", ["prepared", "voted"])] {
        let first = try socket.ask(command)
        var later = first
        for _ in 0..<100 where !names.allSatisfy({ sum($0, later) > sum($0, first) }) {
          try await Task.sleep(for: .milliseconds(20))
          later = try socket.ask(command)
        }
        #expect(first.keys.count == (command == "/deft/lcores" ? 1 : 2), "\(command): \(first)")
        for name in names { #expect(sum(name, later) > sum(name, first), "\(command) \(name): \(first), later \(later)") }
      }
      #expect(try socket.commands().filter { $0.hasPrefix("/deft/") } == ["/deft/batches", "/deft/lcores", "/deft/pairs"])
      let run = try await running.end()
      #expect(run.status == 0 && run.errors == "", "\(run)")
      #expect(try run.summary().violations == [], "\(run)")
    }

    /// EAL's files are many MiB for each run without hugepages.
    @Test("Leaves nothing behind in EAL's directory", arguments: [[], ["--no-huge"]])
    func nothingLeft(eal: [String]) async throws {
      let directory = try WorkDirectory()
      let capture = try #require(CaptureCase.named("tcpreplay-test.pcap").first)
      let prefix = "deft-e2e-left-\(getpid())"
      let run = try await Deft.replay(
        capture.file.path, "none", eal: eal + ["--file-prefix", prefix], in: directory)
      try expectSound(run, pairs: 1)
      #expect(!FileManager.default.fileExists(atPath: TelemetrySocket.directory(prefix)), "\(run)")
    }

    private func sum(_ name: String, _ entries: [String: [String: Int]]) -> Int {
      entries.values.reduce(0) { $0 + ($1[name] ?? 0) }
    }
  }
}

/// A connection to DPDK's telemetry: one packet a question, one JSON object an answer.
final class TelemetrySocket {
  private let descriptor: Int32
  private let longest: Int

  /// Where EAL puts its run-time files.
  static func directory(_ prefix: String) -> String {
    let runtime = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"]
    let base = Machine.isRoot ? "/var/run" : runtime ?? "/tmp"
    return "\(base)/dpdk/\(prefix)"
  }

  static func connect(prefix: String, within seconds: Double) async throws -> TelemetrySocket? {
    let end = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < end {
      if let socket = TelemetrySocket(directory(prefix) + "/dpdk_telemetry.v2"), (try? socket.ask("/deft/lcores")) != nil {
        return socket
      }
      try await Task.sleep(for: .milliseconds(20))
    }
    return nil
  }

  private init?(_ path: String) {
    descriptor = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0)
    longest = 1 << 16
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard descriptor >= 0, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    var patience = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    // DPDK greets with its version.
    guard connected == 0, receive() != nil else { return nil }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private func receive() -> Data? {
    var buffer = [UInt8](repeating: 0, count: longest)
    let count = recv(descriptor, &buffer, longest, 0)
    return count > 0 ? Data(buffer.prefix(count)) : nil
  }

  private func request<T: Decodable>(_ command: String, as type: T.Type) throws -> T {
    let bytes = Array(command.utf8)
    guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count, let answer = receive()
    else { throw CocoaError(.fileReadUnknown) }
    return try #require(try JSONDecoder().decode([String: T].self, from: answer)[command])
  }

  /// Counters by lcore or pair.
  func ask(_ command: String) throws -> [String: [String: Int]] {
    try request(command, as: [String: [String: Int]].self)
  }
  func commands() throws -> [String] { try request("/", as: [String].self) }
}
