import TestSupport
import Testing

extension EndToEnd {
  /// B3 on real traffic: what one replica lacks comes from the other, and only what was destroyed on both ways is missing,
  /// skipped on both alike.
  @Suite("Packets are lost on the way to the replicas", .needsCaptures)
  struct Losses {
    static let options: [OptionCase] = [
      "--loss 0.01", "--loss 0.1 --pairs 2 --stampers 2 --reorder 64 --duplicate 0.02", "--loss 0.05 --batch 50 --window 1",
    ]

    @Test("On every capture", arguments: CaptureCase.all, options)
    func everyCapture(capture: CaptureCase, options: OptionCase) async throws {
      let (summary, run) = try await check(capture, options)
      let loss = summary.loss
      #expect(summary.packets.transmitted == summary.packets.stamped - (loss?.destroyedEverywhere ?? 0), "\(run)")
      #expect((loss?.declaredLost ?? 0) <= (loss?.destroyedEverywhere ?? 0), "\(run)")
      for pair in summary.pairs { #expect(pair.secondaryDigest == pair.primaryDigest, "\(run)") }
    }

    @Test("While replicas fail", arguments: CaptureCase.named("ipv6.pcap", "scan-attack.pcap"))
    func failures(capture: CaptureCase) async throws {
      let (summary, run) = try await check(capture, "--loss 0.02 --fail-primary-at 500,2500 --fail-secondary-at 1500")
      #expect(summary.failures.count == 3, "\(run)")
      #expect((summary.loss?.destroyedEverywhere ?? 0) > 0, "nothing was lost: the test shows nothing: \(run)")
    }

    @Test("The same seed loses the same packets", arguments: CaptureCase.named("malformed.pcap"))
    func seeded(capture: CaptureCase) async throws {
      var losses: [[Int]] = []
      for seed in ["7", "7", "8"] {
        let run = try await Deft.replay(
          capture.file.path, "none", ["--loss", "0.05", "--seed", seed], in: try WorkDirectory())
        let loss = try #require(try run.summary().loss)
        losses.append([loss.destroyedToPrimaries, loss.destroyedToSecondaries, loss.destroyedEverywhere])
      }
      #expect(losses[0] == losses[1])
      #expect(losses[0] != losses[2])
    }

    @Test("Everything is lost", arguments: CaptureCase.named("tcpreplay-test.pcap"))
    func everything(capture: CaptureCase) async throws {
      let (summary, run) = try await check(capture, "--loss 1")
      #expect(summary.packets.transmitted == 0, "\(run)")
    }

    private func check(_ capture: CaptureCase, _ options: OptionCase) async throws -> (Summary, DeftRun) {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(traffic.path, "out.pcap", options.words, in: directory)
      #expect(run.status == 0, "\(run)")
      let summary = try run.summary()
      #expect(summary.violations == [], "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      #expect(output.count == summary.packets.transmitted, "\(run)")
      #expect(traffic.defect(of: output, allowsLoss: true) == nil, "\(run)")
      return (summary, run)
    }
  }
}
