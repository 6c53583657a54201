import TestSupport
import Testing

extension EndToEnd {
  /// A capture sent again and again is the capture's packets again and again.
  @Suite("Repetition, rate and duration", .needsCaptures)
  struct Repetition {
    @Test(
      "Repeated", arguments: CaptureCase.named("malformed.pcap", "tcpreplay-test.pcap"),
      ["--loop 5", "--loop 5 --pairs 2 --stampers 2 --reorder 64 --duplicate 0.02"] as [OptionCase])
    func loop(capture: CaptureCase, options: OptionCase) async throws {
      let (traffic, summary, output, run) = try await replay(capture, options)
      #expect(summary.packets.received == 5 * traffic.frames.count, "\(run)")
      #expect(summary.packets.droppedUnstamped == 0, "\(run)")
      #expect(traffic.defect(of: output, sent: summary.packets.received) == nil, "\(run)")
    }

    /// At a given rate a packet that finds no room is dropped before it has a stamp, counted, and nothing else is.
    @Test("Repeated at a rate", arguments: CaptureCase.named("malformed.pcap", "scan-attack.pcap"))
    func rate(capture: CaptureCase) async throws {
      let (traffic, summary, output, run) = try await replay(capture, "--loop 3 --rate 200k")
      #expect(summary.packets.received == 3 * traffic.frames.count, "\(run)")
      #expect(output.count == summary.packets.received - summary.packets.droppedUnstamped, "\(run)")
      #expect(run.seconds >= Double(summary.packets.received) / 200_000, "faster than its rate: \(run)")
      let lost = summary.packets.droppedUnstamped > 0
      #expect(traffic.defect(of: output, sent: summary.packets.received, allowsLoss: lost) == nil, "\(run)")
    }

    @Test("For a time", arguments: CaptureCase.named("malformed.pcap"))
    func duration(capture: CaptureCase) async throws {
      let (traffic, summary, output, run) = try await replay(capture, "--duration 300ms --loop 0 --rate 100k")
      #expect((1...40_000).contains(summary.packets.received), "\(run)")
      let lost = summary.packets.droppedUnstamped > 0
      #expect(output.count == summary.packets.received - summary.packets.droppedUnstamped, "\(run)")
      #expect(traffic.defect(of: output, sent: summary.packets.received, allowsLoss: lost) == nil, "\(run)")
    }

    @Test("For a time, at full speed", arguments: CaptureCase.named("mix-ndpi.pcap"))
    func fullSpeed(capture: CaptureCase) async throws {
      let directory = try WorkDirectory()
      let run = try await Deft.replay(
        capture.file.path, "none", ["--duration", "300ms", "--loop", "0"], in: directory)
      let summary = try expectSound(run, pairs: 1)
      #expect(summary.packets.received > 0, "\(run)")
      #expect(summary.packets.droppedUnstamped == 0, "a capture at full speed waits until there is room: \(run)")
      #expect(directory.names == [])
    }

    private func replay(
      _ capture: CaptureCase, _ options: OptionCase
    ) async throws -> (Traffic, Summary, [CapturedFrame], DeftRun) {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(traffic.path, "out.pcap", options.words, in: directory)
      return (traffic, try expectSound(run, pairs: options.pairs), try CaptureReader.read(directory.url("out.pcap")), run)
    }
  }
}
