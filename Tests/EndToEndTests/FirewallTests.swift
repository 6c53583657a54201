import TestSupport
import Testing

extension EndToEnd {
  /// The firewall, replicated and behind the whole path, against the plain model of its rules.
  @Suite("Firewall", .needsCaptures)
  struct FirewallRuns {
    static let insides = [
      "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10", "192.168.0.0/17,10.0.0.0/9,2000::/4",
    ]

    @Test(
      "Agrees with the model", arguments: CaptureCase.all,
      insides.flatMap { inside in
        ["--inside \(inside)", "--inside \(inside) --pairs 2 --reorder 64", "--inside \(inside) --midstream"].map {
          OptionCase(stringLiteral: $0)
        }
      })
    func agrees(capture: CaptureCase, options: OptionCase) async throws {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(
        traffic.path, "out.pcap", ["--nf", "firewall", "--clock", "capture"] + options.words, in: directory)
      let summary = try expectSound(run, pairs: options.pairs)

      let model = FirewallModel(
        inside: options.words[1].split(separator: ",").map(String.init), midstream: options.text.contains("midstream"))
      // net_pcap's time stamps are in µs.
      let passes = zip(traffic.frames, traffic.packets).map { model.passes($1, time: $0.time / 1000 * 1000) }
      #expect(summary.packets.droppedByFunction == passes.filter { !$0 }.count, "\(run)")
      #expect(summary.packets.droppedUnstamped == 0, "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      #expect(traffic.defect(of: output, passing: passes) == nil, "\(run)")
    }
  }
}
