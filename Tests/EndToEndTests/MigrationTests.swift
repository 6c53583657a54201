import TestSupport
import Testing

extension EndToEnd {
  /// Paper, V: flows move from pair to pair while packets flow. Each frame comes out once, every flow in order, and each
  /// flow's state is at its new owner and at that one's secondary.
  @Suite("Flow groups move", .needsCaptures)
  struct Migrations {
    static let options: [OptionCase] = [
      "--pairs 2 --migrate 0:1@60",
      "--pairs 3 --stampers 2 --reorder 64 --duplicate 0.02 --migrate 0:1@40,1:2@80,2:0@120",
      "--pairs 2 --migrate 0:1@30,1:0@90 --fail-primary-at 60,120 --fail-secondary-at 100",
      "--pairs 2 --migrate 1:0@60 --batch 50 --window 1",
    ]

    @Test("On every capture", arguments: CaptureCase.all, options)
    func everyCapture(capture: CaptureCase, options: OptionCase) async throws {
      let traffic = try Traffic.of(capture.file)
      let loops = max(1, 300 / traffic.frames.count + 1)
      let directory = try WorkDirectory()
      let run = try await Deft.replay(
        traffic.path, "out.pcap", options.words + ["--loop", "\(loops)"], in: directory)
      #expect(run.status == 0, "\(run)")
      let summary = try run.summary()
      #expect(summary.violations == [], "\(run)")
      #expect(summary.packets.stamped == loops * traffic.frames.count, "\(run)")
      #expect(summary.migrations.count == options.text.split(separator: ":").count - 1, "\(run)")
      #expect(summary.migrations.first?.groups ?? 0 > 0, "\(run)")
      for pair in summary.pairs {
        #expect(pair.secondaryDigest == pair.primaryDigest, "pair \(pair.pair): \(run)")
      }
      let output = try CaptureReader.read(directory.url("out.pcap"))
      expectFaithful(output, to: traffic, sent: loops * traffic.frames.count, options: options, run)
    }

    @Test("To and fro, at full speed", arguments: CaptureCase.named("scan-attack.pcap"))
    func toAndFro(capture: CaptureCase) async throws {
      let traffic = try Traffic.of(capture.file)
      let step = 2 * traffic.frames.count
      let moves = (1...4).map { "\($0 % 2):\(1 - $0 % 2)@\($0 * step)" }.joined(separator: ",")
      let directory = try WorkDirectory()
      let run = try await Deft.replay(
        traffic.path, "out.pcap", ["--pairs", "2", "--loop", "12", "--migrate", moves], in: directory)
      #expect(run.status == 0, "\(run)")
      let summary = try run.summary()
      #expect(summary.migrations.count == 4, "\(run)")
      #expect(summary.migrations.contains { $0.flows > 0 }, "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      #expect(traffic.defect(of: output, sent: 12 * traffic.frames.count) == nil, "\(run)")
    }

    @Test("With packets lost on the way", arguments: CaptureCase.named("ipv6.pcap", "mix-ndpi.pcap"))
    func losses(capture: CaptureCase) async throws {
      let traffic = try Traffic.of(capture.file)
      let directory = try WorkDirectory()
      let run = try await Deft.replay(
        traffic.path, "out.pcap", ["--pairs", "2", "--loss", "0.03", "--migrate", "0:1@500,1:0@4000"], in: directory)
      #expect(run.status == 0, "\(run)")
      let summary = try run.summary()
      #expect(summary.migrations.count == 2, "\(run)")
      #expect(
        summary.packets.transmitted == summary.packets.stamped - (summary.loss?.destroyedEverywhere ?? 0), "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      #expect(traffic.defect(of: output, allowsLoss: true) == nil, "\(run)")
    }

    /// All flows end up at one pair: there is one digest, and it is that of a run without the move.
    @Test("State moves with its flow", arguments: CaptureCase.named("mix-ndpi.pcap", "vlan-qinq-mpls.pcap"))
    func state(capture: CaptureCase) async throws {
      var flows: [Int] = []
      var outputs: [Int] = []
      for options in [[], ["--migrate", "0:1@3000"]] {
        let run = try await Deft.replay(
          capture.file.path, "none", ["--pairs", "2", "--nf", "firewall", "--clock", "capture"] + options,
          in: try WorkDirectory())
        #expect(run.status == 0, "\(run)")
        let summary = try run.summary()
        flows.append(summary.pairs.reduce(0) { $0 + $1.flows })
        outputs.append(summary.packets.transmitted)
        if !options.isEmpty { #expect(summary.pairs[0].flows == 0, "\(run)") }
      }
      #expect(flows[0] == flows[1])
      #expect(outputs[0] == outputs[1])
    }

    @Test(
      "Arguments that cannot be", arguments: ["0:0@5", "0:1", "1@5", "0:2@5", "a:b@c", "0:1@5,1:0@5"],
      CaptureCase.named("tcpreplay-test.pcap"))
    func arguments(value: String, capture: CaptureCase) async throws {
      let run = try await Deft.run(
        ["replay", capture.file.path, "none", "--pairs", "2", "--migrate", value], in: try WorkDirectory())
      #expect(run.status == 64, "\(run)")
      #expect(run.errorLines.first?.contains("migrate") ?? false, "\(run)")
    }
  }
}
