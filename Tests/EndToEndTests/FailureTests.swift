import TestSupport
import Testing

extension EndToEnd {
  /// P5 and B1 when something fails: what goes in comes out, each frame once, every flow in order, and at the end there are
  /// two replicas with equal states again (paper, VI-A).
  @Suite("Replicas fail", .needsCaptures)
  struct Failures {
    static let options: [OptionCase] = [
      "--fail-primary-at 60", "--fail-secondary-at 60", "--fail-primary-at 20,40,60,80 --unprotected release",
      "--fail-primary-at 30,90 --fail-secondary-at 60 --pairs 2 --stampers 2 --reorder 64 --duplicate 0.02",
      "--fail-primary-at 60 --batch 50 --window 1",
    ]

    @Test("On every capture", arguments: CaptureCase.all, options)
    func everyCapture(capture: CaptureCase, options: OptionCase) async throws {
      let traffic = try Traffic.of(capture.file)
      // Short captures are sent until there is somebody to fail and something left to send.
      let loops = max(1, 200 / traffic.frames.count + 1)
      try await check(traffic, options, loops: loops)
    }

    @Test("Again and again, at full speed", arguments: CaptureCase.named("ipv6.pcap", "malformed.pcap"))
    func repeated(capture: CaptureCase) async throws {
      let traffic = try Traffic.of(capture.file)
      let points = (1...6).map { "\($0 * traffic.frames.count * 3)" }
      let options =
        "--fail-primary-at \(points[0]),\(points[2]),\(points[4]) --fail-secondary-at \(points[1]),\(points[3]),\(points[5])"
      try await check(traffic, OptionCase(stringLiteral: options), loops: 20)
    }

    @Test("Stages spread over lcores", arguments: CaptureCase.named("frags-v4v6.pcap", "vlan-qinq-mpls.pcap"))
    func spread(capture: CaptureCase) async throws {
      let lcores = "0@\(Machine.cpus.first ?? 0),1@\(Machine.cpus.first ?? 0),2@\(Machine.cpus.last ?? 0)"
      try await check(
        try Traffic.of(capture.file), "--fail-primary-at 500,1500 --fail-secondary-at 1000", eal: ["--lcores", lcores])
    }

    /// The firewall keeps state, and drops: what it lets pass does not depend on failures.
    @Test("The firewall decides as without failures", arguments: CaptureCase.named("mix-ndpi.pcap", "scan-attack.pcap"))
    func firewall(capture: CaptureCase) async throws {
      let traffic = try Traffic.of(capture.file)
      var outputs: [[CapturedFrame]] = []
      for failures in [[], ["--fail-primary-at", "1000,5000", "--fail-secondary-at", "3000"]] {
        let directory = try WorkDirectory()
        let run = try await Deft.replay(
          traffic.path, "out.pcap", ["--nf", "firewall", "--clock", "capture"] + failures, in: directory)
        #expect(run.status == 0, "\(run)")
        outputs.append(try CaptureReader.read(directory.url("out.pcap")))
      }
      let reference = outputs[0].map { FrameBytes(bytes: $0.bytes) }
      let afterFailures = outputs[1].map { FrameBytes(bytes: $0.bytes) }
      #expect(reference.count < traffic.frames.count, "the firewall dropped nothing: the test shows nothing")
      #expect(
        Dictionary(grouping: reference) { $0 }.mapValues(\.count)
          == Dictionary(grouping: afterFailures) { $0 }.mapValues(\.count))
    }

    /// Both replicas at once: what is missing is counted to the packet, what comes out is in order, each frame once, and at the
    /// end there are two replicas with equal states.
    @Test(
      "A pair is lost", arguments: CaptureCase.named("ipv6.pcap", "vlan-qinq-mpls.pcap", "frags-v4v6.pcap"),
      [
        "--fail-pair-at 700", "--fail-pair-at 300,1200 --unprotected release --idle-timeout 1ms",
        "--fail-pair-at 200,400,900 --fail-primary-at 600 --fail-secondary-at 1000 --pairs 2 --stampers 2",
      ] as [OptionCase])
    func pairLost(capture: CaptureCase, options: OptionCase) async throws {
      let traffic = try Traffic.of(capture.file)
      let loops = 2_000 / traffic.frames.count + 2
      let directory = try WorkDirectory()
      let run = try await Deft.replay(traffic.path, "out.pcap", options.words + ["--loop", "\(loops)"], in: directory)
      #expect(run.status == 0, "\(run)")
      let summary = try run.summary()
      #expect(summary.violations == [] && summary.packets.stamped == loops * traffic.frames.count, "\(run)")
      let losses = summary.failures.filter { $0.victim == "pair" }
      #expect(losses.count == options.words[1].split(separator: ",").count, "\(run)")
      #expect(losses.allSatisfy { ($0.restartedFlows ?? 0) > 0 }, "\(run)")
      for pair in summary.pairs {
        #expect(pair.secondaryDigest == pair.primaryDigest, "pair \(pair.pair): \(run)")
      }
      let output = try CaptureReader.read(directory.url("out.pcap"))
      let lost = losses.reduce(0) { $0 + ($1.lostPackets ?? 0) }
      #expect(output.count == loops * traffic.frames.count - lost, "\(run)")
      // Idle flows may overtake themselves (`expectFaithful`).
      guard !options.text.contains("--idle-timeout") else { return }
      let defect = traffic.defect(of: output, sent: loops * traffic.frames.count, allowsLoss: true)
      #expect(defect == nil, "\(run)")
    }

    @Test("A failure behind the end of the source is a violation", arguments: CaptureCase.named("tcpreplay-test.pcap"))
    func tooLate(capture: CaptureCase) async throws {
      let run = try await Deft.replay(capture.file.path, "none", ["--fail-primary-at", "1000000"], in: try WorkDirectory())
      #expect(run.status == 1)
      #expect(try run.summary().violations.contains { $0.contains("the source ended after") }, "\(run)")
    }

    private func check(
      _ traffic: Traffic, _ options: OptionCase, loops: Int = 1, eal: [String] = []
    ) async throws {
      let directory = try WorkDirectory()
      let run = try await Deft.replay(
        traffic.path, "out.pcap", options.words + ["--loop", "\(loops)"], eal: eal, in: directory)
      #expect(run.status == 0, "\(run)")
      let summary = try run.summary()
      #expect(summary.violations == [], "\(run)")
      #expect(summary.packets.stamped == loops * traffic.frames.count, "\(run)")
      #expect(summary.loss == nil, "\(run)")
      let planned = options.words.filter { $0.first?.isNumber == true && $0.contains(",") || Int($0) != nil }
      #expect(!planned.isEmpty && !summary.failures.isEmpty, "\(run)")
      for failure in summary.failures where failure.victim == "primary" {
        #expect((failure.takeoverMicroseconds ?? 0) > 0, "\(run)")
      }
      for pair in summary.pairs {
        #expect(pair.secondaryDigest == pair.primaryDigest, "pair \(pair.pair): \(run)")
      }
      let output = try CaptureReader.read(directory.url("out.pcap"))
      expectFaithful(output, to: traffic, sent: loops * traffic.frames.count, options: options, run)
    }
  }
}
