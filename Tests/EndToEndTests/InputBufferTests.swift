import TestSupport
import Testing

extension EndToEnd {
  /// The paper's Fig. 2c: with stop and wait and an input buffer of one batch packets are lost at a rate that five
  /// batches of buffer take.
  @Suite("Input buffer", .needsCaptures)
  struct InputBuffer {
    @Test("Of one batch drops and counts at a rate that is too high", arguments: CaptureCase.named("mix-ndpi.pcap"))
    func tooSmall(capture: CaptureCase) async throws {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(
        traffic.path, "out.pcap", ["--batch", "50", "--window", "1", "--buffer", "50", "--rate", "20M"], in: directory)
      let summary = try expectSound(run, pairs: 1)
      let drops = summary.packets.dropsByReason
      #expect(Array(drops.keys) == ["input_buffer_full"], "\(run)")
      #expect((drops["input_buffer_full"] ?? 0) > 0, "\(run)")
      #expect(summary.batches.inFlightAtMost == 1, "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      #expect(output.count == summary.packets.received - (drops["input_buffer_full"] ?? 0), "\(run)")
      #expect(traffic.defect(of: output, allowsLoss: true) == nil, "\(run)")
    }

    /// 250 packets are 25 ms at this rate: what a busy machine may take a core away for. It gets three tries.
    @Test("Of five batches drops nothing at a moderate rate", arguments: CaptureCase.named("malformed.pcap"))
    func largeEnough(capture: CaptureCase) async throws {
      let traffic = try Traffic.of(capture.file)
      var dropped = 0
      for _ in 0..<3 {
        let directory = try WorkDirectory()
        let run = try await Deft.replay(
          traffic.path, "out.pcap", ["--batch", "50", "--window", "1", "--buffer", "250", "--rate", "10k"], in: directory)
        let summary = try expectSound(run, pairs: 1)
        dropped = summary.packets.dropsByReason.values.reduce(0, +)
        if dropped > 0 { continue }
        #expect(traffic.defect(of: try CaptureReader.read(directory.url("out.pcap"))) == nil, "\(run)")
        return
      }
      Issue.record("dropped \(dropped) packets at 10,000 packets/s, three times")
    }
  }
}
