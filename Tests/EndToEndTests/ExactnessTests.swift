import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// B1 on real traffic: what goes in comes out, each frame once, every flow in order, both replicas in the same state.
  @Suite("Every frame once, every flow in order", .needsCaptures)
  struct Exactness {
    static let options: [OptionCase] = [
      "", "--pairs 2 --stampers 2", "--batch 50 --window 1", "--reorder 64 --duplicate 0.02",
      "--pairs 3 --stampers 2 --reorder 64 --duplicate 0.02 --idle-timeout 20ms",
    ]

    @Test("Monitor", arguments: CaptureCase.all, options)
    func monitor(capture: CaptureCase, options: OptionCase) async throws {
      try await check(capture, options)
    }

    @Test("Without hugepages", arguments: CaptureCase.named("scan-attack.pcap", "tcpreplay-test.pcap"), options)
    func ordinaryPages(capture: CaptureCase, options: OptionCase) async throws {
      let summary = try await check(capture, options, eal: ["--no-huge"])
      #expect(!summary.hugepages)
    }

    @Test(
      "On one CPU", .enabled(if: Machine.hasTaskset), arguments: CaptureCase.named("malformed.pcap", "ipv6.pcap"), options)
    func oneCPU(capture: CaptureCase, options: OptionCase) async throws {
      try await check(capture, options, launcher: ["taskset", "-c", "\(Machine.cpus.first ?? 0)"])
    }

    @Test("On the main lcore alone", arguments: CaptureCase.named("vlan-qinq-mpls.pcap"), options)
    func mainLcore(capture: CaptureCase, options: OptionCase) async throws {
      let summary = try await check(capture, options, eal: ["--lcores", "0@\(Machine.cpus.first ?? 0)"])
      #expect(summary.lcores.map(\.lcore) == [0])
    }

    /// Stages on several lcores: packets change lcores, and their reference counts are atomic.
    @Test(
      "Stages spread over lcores", arguments: [2, 3, 4],
      CaptureCase.named("frags-v4v6.pcap", "malformed.pcap", "vlan-qinq-mpls.pcap"))
    func spread(workers: Int, capture: CaptureCase) async throws {
      let cpu = Machine.cpus.last ?? 0
      let lcores = (["0@\(Machine.cpus.first ?? 0)"] + (1...workers).map { "\($0)@\(cpu)" }).joined(separator: ",")
      let summary = try await check(
        capture, "--pairs 2 --stampers 2 --reorder 64 --duplicate 0.02", eal: ["--lcores", lcores])
      #expect(summary.lcores.count == workers)
    }

    @discardableResult
    private func check(
      _ capture: CaptureCase, _ options: OptionCase, eal: [String] = [], launcher: [String] = []
    ) async throws -> Summary {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(
        traffic.path, "out.pcap", ["--nf", "monitor"] + options.words, eal: eal, launcher: launcher, in: directory)
      let summary = try expectSound(run, pairs: options.pairs)
      #expect(summary.packets.received == traffic.frames.count, "\(run)")
      #expect(summary.packets.droppedUnstamped == 0, "\(run)")
      #expect(directory.names == ["out.pcap"], "\(run)")
      expectFaithful(try CaptureReader.read(directory.url("out.pcap")), to: traffic, options: options, run)
      return summary
    }
  }
}
