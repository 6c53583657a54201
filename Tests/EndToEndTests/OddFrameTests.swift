import TestSupport
import Testing

extension EndToEnd {
  /// Nothing is dropped, cut or moved for being odd.
  @Suite("Odd frames")
  struct OddFrames {
    struct Kind: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let frames: [[UInt8]]
      init(_ description: String, _ frames: [[UInt8]]) {
        testDescription = description
        self.frames = frames
      }
    }

    static let arp: [UInt8] =
      [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 1]
      + [0, 0, 0, 0, 0, 0, 10, 0, 0, 2]

    static func experimental(_ lengths: Int...) -> [[UInt8]] {
      (0..<40).map { CaptureBytes.frame(length: lengths[$0 % lengths.count], number: $0) }
    }

    /// IP headers that promise what is not there.
    static let malformed: [[UInt8]] = {
      let whole = CaptureBytes.udp(length: 120, port: 1000, number: 1)
      func changed(_ offset: Int, _ value: UInt8) -> [UInt8] {
        var frame = whole
        frame[offset] = value
        return frame
      }
      return [
        changed(14, 0x4f), changed(14, 0x41), changed(14, 0x65), changed(16, 0xff), changed(17, 3), changed(23, 6),
        changed(20, 0x3f), changed(12, 0x81), changed(13, 0xdd), changed(38, 0xff), Array(whole.prefix(15)),
        Array(whole.prefix(33)), Array(whole.prefix(36)), CaptureBytes.addresses + [0x86, 0xdd, 0x60],
        CaptureBytes.addresses + [0x81, 0], CaptureBytes.addresses + [0x88, 0xa8, 0, 1, 0x81, 0, 0],
      ]
    }()

    static let kinds: [Kind] = [
      Kind("one byte", [[0xab]]),
      Kind("no byte at all", [[], CaptureBytes.frame(length: 60, number: 1), []]),
      Kind("13 bytes", experimental(13)),
      Kind("14 bytes, the header alone", [CaptureBytes.addresses + [8, 0], CaptureBytes.addresses + [0x86, 0xdd]]),
      Kind("malformed IP", malformed),
      Kind("ARP", [arp, arp, Array(arp.prefix(20))]),
      Kind("1514 bytes", experimental(1514)),
      Kind("2009 to 2049 bytes, about a buffer", (2005...2055).map { CaptureBytes.frame(length: $0, number: $0) }),
      Kind("9 KiB jumbo", experimental(9216, 9215, 60)),
      Kind(
        "15.9 to 16.2 kB, about what net_pcap writes in one go",
        (1590...1620).map { CaptureBytes.frame(length: $0 * 10, number: $0) }),
      Kind("60 kB", experimental(60_000, 59_999)),
      Kind("65,280 bytes, the longest", experimental(65_280)),
      Kind(
        "of all lengths and kinds",
        malformed + [[0xab], arp] + experimental(1, 13, 14, 60, 1514, 2049, 9216)
          + (0..<40).map { CaptureBytes.udp(length: 60 + $0 * 200, port: UInt16(1000 + $0 % 3), number: $0) }),
    ]
    static let options: [OptionCase] = [
      "", "--pairs 2 --stampers 2 --reorder 64 --duplicate 0.5 --batch 64 --window 4 --state-clock 256 --buffer 1024",
    ]

    @Test("Come out as they went in", arguments: kinds, options)
    func once(kind: Kind, options: OptionCase) async throws {
      try await check(kind, options)
    }

    /// Kept in memory: each frame lies in one buffer.
    @Test("Come out as they went in, repeated", arguments: kinds)
    func repeated(kind: Kind) async throws {
      try await check(kind, "--loop 3", times: 3)
    }

    private func check(_ kind: Kind, _ options: OptionCase, times: Int = 1) async throws {
      let directory = try WorkDirectory()
      try directory.write("in.pcap", CaptureBytes.file(kind.frames))
      let traffic = try Traffic(directory.url("in.pcap"))
      let run = try await Deft.replay("in.pcap", "out.pcap", options.words, in: directory)
      let summary = try expectSound(run, pairs: options.pairs)
      #expect(summary.packets.received == times * kind.frames.count, "\(run)")
      let output = try CaptureReader.read(directory.url("out.pcap"))
      #expect(traffic.defect(of: output, sent: times * kind.frames.count) == nil, "\(run)")
    }
  }
}
