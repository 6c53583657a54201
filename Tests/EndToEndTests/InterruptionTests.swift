import Foundation
import TestSupport
import Testing

extension EndToEnd {
  @Suite("Interruption", .needsCaptures)
  struct Interruption {
    /// Ctrl-C ends the intake; what is on its way still leaves, and the summary comes.
    @Test("Ends cleanly, with summary and output", arguments: [SIGINT, SIGTERM])
    func interrupted(signal: Int32) async throws {
      let directory = try WorkDirectory()
      let capture = try #require(CaptureCase.named("malformed.pcap").first)
      let traffic = try Traffic.of(capture.file)
      let arguments = ["--loop", "0", "--rate", "50k", "--json", "-"]
      let running = try RunningDeft(["replay", traffic.path, "out.pcap"] + arguments, in: directory)
      // The table's first block comes when packets flow.
      let end = ContinuousClock.now + .seconds(30)
      while !running.errorsSoFar.contains("drops:"), ContinuousClock.now < end {
        try await Task.sleep(for: .milliseconds(10))
      }
      running.send(signal)
      let run = try await running.end()
      #expect(run.status == 0, "\(run)")
      let summary = try run.summary()
      #expect(summary.violations == [], "\(run)")
      #expect(summary.packets.received > 0, "\(run)")
      #expect(summary.packets.received == summary.packets.transmitted + summary.packets.droppedUnstamped, "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      let lost = summary.packets.droppedUnstamped > 0
      #expect(traffic.defect(of: output, sent: summary.packets.received, allowsLoss: lost) == nil, "\(run)")
      #expect(directory.names == ["out.pcap"], "\(run)")
    }
  }
}
