import TestSupport
import Testing

extension EndToEnd {
  /// Far more packets than stop and wait can take, over several stamping units: the units' shares differ, and the secondary's
  /// hold used to fill with one unit's copies while the vote waited for another's.
  @Suite("Overload", .needsCaptures)
  struct Overload {
    @Test(
      "Several stampers do not block each other",
      arguments: [
        ["--stampers", "2", "--batch", "50"], ["--stampers", "4", "--batch", "33"],
        ["--stampers", "2", "--batch", "33", "--buffer", "65536"],
      ])
    func severalStampers(options: [String]) async throws {
      let directory = try WorkDirectory()
      let capture = try #require(CaptureCase.named("scan-attack.pcap").first)
      let run = try await Deft.replay(
        try Traffic.of(capture.file).path, "none",
        options + ["--window", "1", "--rate", "10M", "--loop", "0", "--duration", "500ms"], in: directory)
      let summary = try expectSound(run, pairs: 1)
      #expect(summary.packets.stamped == summary.packets.transmitted, "\(run)")
    }

    @Test("A flow that is not idle is not closed, whatever time its stamps carry", arguments: [[], ["--clock", "capture"]])
    func captureTimeClosesNothing(options: [String]) async throws {
      let directory = try WorkDirectory()
      let capture = try #require(CaptureCase.named("scan-attack.pcap").first)
      let run = try await Deft.replay(try Traffic.of(capture.file).path, "none", options, in: directory)
      #expect(try expectSound(run, pairs: 1).flowsClosed == 0, "\(run)")
    }

    @Test("Without replication slots of ended flows come back, too")
    func slotsComeBack() async throws {
      let directory = try WorkDirectory()
      let capture = try #require(CaptureCase.named("mix-ndpi.pcap").first)
      let run = try await Deft.replay(
        try Traffic.of(capture.file).path, "none",
        ["--replication", "off", "--idle-timeout", "1ms", "--loop", "20"], in: directory)
      #expect(run.status == 0, "\(run)")
      #expect(try run.summary().flowsClosed > 1024, "\(run)")
    }
  }
}
