import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// `--stamped-out` shows what the stamper did; read by hand from RFC 8300, and by tshark.
  @Suite("Stamped packets", .needsCaptures)
  struct StampedOutput {
    /// The NSH header of a stamped packet.
    struct Header {
      var servicePath: Int
      var serviceIndex: Int
      var flowID: UInt32
      var counter: UInt32
      var inner: [UInt8]

      init?(_ bytes: [UInt8]) {
        // EtherType NSH; version 0, no OAM, length 6 words; MD type 1; next protocol Ethernet.
        guard bytes.count >= 38, bytes[12] == 0x89, bytes[13] == 0x4f else { return nil }
        guard bytes[14] & 0xe0 == 0, bytes[15] & 0x3f == 6, bytes[16] & 0xf == 1, bytes[17] == 3 else { return nil }
        func number(_ range: Range<Int>) -> UInt32 { bytes[range].reduce(0) { $0 << 8 | UInt32($1) } }
        servicePath = Int(number(18..<21))
        serviceIndex = Int(bytes[21])
        flowID = number(22..<26)
        counter = number(26..<30)
        inner = Array(bytes[38...])
      }
    }

    @Test("Carry flow ID and counter", arguments: CaptureCase.all, [1, 2])
    func headers(capture: CaptureCase, stampers: Int) async throws {
      let directory = try WorkDirectory()
      let traffic = try Traffic.of(capture.file)
      let run = try await Deft.replay(
        traffic.path, "none", ["--stamped-out", "stamped.pcap", "--stampers", "\(stampers)", "--pairs", "\(stampers)"],
        in: directory)
      try expectSound(run, pairs: stampers)
      #expect(directory.names == ["stamped.pcap"], "\(run)")

      var inner: [CapturedFrame] = []
      var next: [UInt32: UInt32] = [:]
      var flowOf: [UInt32: Int] = [:]
      for frame in try CaptureReader.read(directory.url("stamped.pcap")) {
        let header = try #require(Header(frame.bytes), "no NSH header: \(run)")
        #expect(header.servicePath == 100 && header.serviceIndex == 255, "\(run)")
        let expected = next[header.flowID] ?? 1
        #expect(header.counter == expected, "flow ID \(header.flowID): \(run)")
        next[header.flowID] = expected + 1
        let flow = try #require(traffic.flow(ofFrame: header.inner), "\(run)")
        #expect(flowOf[header.flowID, default: flow] == flow, "two flows have the ID \(header.flowID): \(run)")
        flowOf[header.flowID] = flow
        inner.append(CapturedFrame(time: 0, bytes: header.inner, originalLength: header.inner.count))
      }
      #expect(traffic.defect(of: inner) == nil, "\(run)")
      #expect(flowOf.count == traffic.flowNames.count, "one flow, one ID: \(run)")
      // 196,608 flows a unit by default, so 18 bits of slot; above them the unit, if there are two, and the generation.
      let unitBits: UInt32 = stampers == 2 ? 1 : 0
      let units = Set(flowOf.keys.map { $0 >> 18 & (1 << unitBits - 1) })
      if traffic.flowNames.count > 20 { #expect(units.count == stampers, "\(run)") }
      #expect(flowOf.keys.allSatisfy { $0 & 0x3ffff < 196_608 && $0 >> (18 + unitBits) == 1 }, "\(run)")
    }

    @Test(
      "Are read by tshark", .enabled(if: Machine.hasTshark, "no tshark"),
      arguments: CaptureCase.named("tcpreplay-test.pcap", "malformed.pcap"))
    func tshark(capture: CaptureCase) async throws {
      let directory = try WorkDirectory()
      let run = try await Deft.replay(
        capture.file.path, "none", ["--stamped-out", "stamped.pcap", "--stampers", "2"], in: directory)
      try expectSound(run, pairs: 1)
      let fields = ["nsh.spi", "nsh.si", "nsh.contextheader"].flatMap { ["-e", $0] }
      let decoded = try #require(
        try Machine.run(
          "tshark", ["-r", directory.path("stamped.pcap"), "-T", "fields", "-E", "separator=;"] + fields))
      let lines = decoded.split(separator: "\n").map { $0.split(separator: ";").map(String.init) }
      let frames = try CaptureReader.read(directory.url("stamped.pcap"))
      #expect(lines.count == frames.count, "\(run)")
      for (line, frame) in zip(lines, frames) {
        let header = try #require(Header(frame.bytes))
        let context = String(format: "%08x,%08x,", header.flowID, header.counter)
        try #require(line.count == 3, "\(run)")
        #expect(line[0] == "\(header.servicePath)" && line[1] == "\(header.serviceIndex)", "\(run)")
        #expect(line[2].hasPrefix(context), "\(run)")
      }
    }
  }
}
