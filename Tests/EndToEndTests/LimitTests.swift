import TestSupport
import Testing

extension EndToEnd {
  /// Options at their ends, and what once broke.
  @Suite("Limits", .needsCaptures)
  struct Limits {
    static let options: [OptionCase] = [
      "--buffer 1", "--batch 1", "--window 256 --batch 8192", "--window 1 --batch 8192 --state-clock 8192",
      "--state-clock 1", "--stampers 16", "--stampers 16 --buffer 16", "--pairs 12 --flows 1000 --buffer 1024",
      "--flush-interval 10s", "--duplicate 1", "--duplicate 1 --reorder 64 --stampers 16 --buffer 40000",
      "--pairs 2 --stampers 2 --seed 18446744073709551615", "--flows 6291456",
      // A block to shuffle that is longer than what may be queued at a primary never filled.
      "--reorder 2000 --buffer 9000", "--reorder 4096 --buffer 20000",
      // The end of idle flows took the room of packets that had been received: they were dropped.
      "--idle-timeout 1ms --loop 4", "--idle-timeout 1ms --loop 4 --stampers 2 --reorder 64 --duplicate 0.02",
    ]

    @Test("Every frame once", arguments: CaptureCase.named("ipv6.pcap"), options)
    func exact(capture: CaptureCase, options: OptionCase) async throws {
      try await check(capture, options, times: options.text.contains("--loop 4") ? 4 : 1)
    }

    @Test(
      "Without replication", arguments: CaptureCase.named("scan-attack.pcap", "malformed.pcap"),
      ["", "--reorder 64 --duplicate 0.02 --stampers 2 --pairs 2"] as [OptionCase])
    func unreplicated(capture: CaptureCase, options: OptionCase) async throws {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(
        traffic.path, "out.pcap", options.words + ["--replication", "off"], in: directory)
      try expectSound(run, pairs: options.pairs, replicated: false)
      #expect(traffic.defect(of: try CaptureReader.read(directory.url("out.pcap"))) == nil, "\(run)")
    }

    @Test("Same seed, same numbers", arguments: CaptureCase.named("malformed.pcap"))
    func repeatable(capture: CaptureCase) async throws {
      let options: OptionCase = "--pairs 2 --stampers 2 --reorder 64 --duplicate 0.1 --seed 7 --clock capture"
      let first = try await check(capture, options)
      let second = try await check(capture, options)
      #expect(first.packets.injectedDuplicates > 0)
      #expect(first.packets.injectedDuplicates == second.packets.injectedDuplicates)
      #expect(first.pairs.map(\.primaryDigest) == second.pairs.map(\.primaryDigest))
    }

    /// R16: at this rate every flow is idle between its packets, so a slot changes hands thousands of times. Not with
    /// several pairs or `--reorder`: a flow that is closed after less time than its packets take through the pipeline may be
    /// overtaken by its next generation, which can be another pair's.
    @Test(
      "Flow generations used again and again", arguments: CaptureCase.named("tcpreplay-test.pcap"),
      ["", "--duplicate 0.02"] as [OptionCase])
    func generations(capture: CaptureCase, options: OptionCase) async throws {
      let churn: OptionCase = OptionCase(
        stringLiteral: options.text + " --idle-timeout 1ms --rate 10k --loop 100 --flows 1 --buffer 65536")
      let summary = try await check(capture, churn, times: 100)
      #expect(summary.flowsClosed >= 1000)
      #expect(summary.packets.closeMarkers == summary.flowsClosed)
    }

    /// R17: a flow that finds no slot is dropped before it has a stamp, and counted.
    @Test("More flows than slots", arguments: CaptureCase.named("mix-ndpi.pcap"))
    func flowTableFull(capture: CaptureCase) async throws {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(traffic.path, "out.pcap", ["--flows", "10"], in: directory)
      let summary = try expectSound(run, pairs: 1)
      #expect(Array(summary.packets.dropsByReason.keys) == ["flow_table_full"], "\(run)")
      #expect(summary.pairs[0].flows == 768, "the smallest table holds 768 flows: \(run)")
      // The flows that have a slot lose nothing, the others everything.
      let output = try CaptureReader.read(directory.url("out.pcap"))
      let served = Set(output.compactMap { traffic.flow(ofFrame: $0.bytes) })
      let passes = traffic.frames.map { served.contains(traffic.flow(ofFrame: $0.bytes) ?? -1) }
      #expect(traffic.defect(of: output, passing: passes) == nil, "\(run)")
      #expect(summary.packets.dropsByReason["flow_table_full"] == passes.filter { !$0 }.count, "\(run)")
    }

    @discardableResult
    private func check(_ capture: CaptureCase, _ options: OptionCase, times: Int = 1) async throws -> Summary {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(traffic.path, "out.pcap", options.words, in: directory)
      let summary = try expectSound(run, pairs: options.pairs)
      #expect(summary.packets.received == times * traffic.frames.count, "\(run)")
      #expect(summary.packets.droppedUnstamped == 0, "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      expectFaithful(output, to: traffic, sent: summary.packets.received, options: options, run)
      return summary
    }
  }
}
