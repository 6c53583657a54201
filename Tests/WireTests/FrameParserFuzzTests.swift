import DEFTWire
import Testing
import TestSupport

@Suite struct FrameParserFuzzTests {
  /// Cut at every length, lying at the very end of readable memory: reading one byte too far ends the test process.
  @Test func truncationAtEveryLength() throws {
    let page = GuardedPage()
    for (name, frame) in TestFrames.everyKind() {
      for count in 0...frame.count {
        let bytes = page.place(frame[..<count])
        let parsed = try #require(Parsed(bytes, count: count), "\(name) cut at \(count)")
        checkHeadersAreThere(parsed.layout, count: count, "\(name) cut at \(count)")
      }
    }
  }

  /// Half of the frames are noise, half are good ones with some bytes changed; an independent parser says what is right.
  @Test func twoHundredThousandFrames() throws {
    var random = SeededGenerator(seed: 0x5eed)
    let page = GuardedPage()
    let kinds = TestFrames.everyKind() + TestFrames.everyKind(reversed: true)
    var understood = 0
    for round in 0..<200_000 {
      var frame: [UInt8]
      if round % 2 == 0 {
        frame = random.bytes(random.below(96))
        // Noise that begins as IP does gets further.
        if round % 4 == 0, frame.count > 14 {
          (frame[12], frame[13]) = round % 8 == 0 ? (8, 0) : (0x86, 0xdd)
          frame[14] = round % 8 == 0 ? 0x40 | frame[14] & 15 : 0x60
        }
      } else {
        frame = kinds[random.below(kinds.count)].frame
        for _ in 0..<random.below(4) { frame[random.below(min(frame.count, 90))] = UInt8(truncatingIfNeeded: random.next()) }
        if random.below(2) == 0 { frame.removeLast(random.below(frame.count)) }
      }
      let bytes = page.place(frame[...])
      let parsed = try #require(Parsed(bytes, count: frame.count), "frame \(round): \(frame)")
      checkHeadersAreThere(parsed.layout, count: frame.count, "frame \(round)")
      // The model is slow; every fifth frame is enough.
      guard round % 5 == 0 else { continue }
      let difference = difference(parsed, ModelPacket(frame))
      #expect(difference == nil, "frame \(round): \(difference ?? "") in \(frame)")
      if parsed.layout.transport != .none { understood += 1 }
    }
    #expect(understood > 4_000)
  }

  /// Every header that the layout names lies within the frame.
  private func checkHeadersAreThere(_ layout: FrameLayout, count: Int, _ what: @autoclosure () -> String) {
    let networkEnd = layout.isIPv4 ? layout.networkOffset + 20 : layout.isIPv6 ? layout.networkOffset + 40 : 0
    let least: Int =
      switch layout.transport {
      case .none: 0
      case .tcp: layout.transportOffset + 20
      case .udp: layout.transportOffset + 8
      case .icmp: layout.transportOffset + 4
      case .sctp: layout.transportOffset + 12
      case .other: layout.transportOffset
      }
    if max(networkEnd, least) > count { Issue.record("\(what()): headers beyond \(count) in \(layout)") }
  }

  private func difference(_ parsed: Parsed, _ model: ModelPacket) -> String? {
    let version = parsed.layout.isIPv4 ? 4 : parsed.layout.isIPv6 ? 6 : 0
    guard version == model.version else { return "IPv\(version), not IPv\(model.version)" }
    guard version != 0 else { return nil }
    guard Int(parsed.ipProtocol) == model.ipProtocol else { return "protocol, not \(model.ipProtocol)" }
    guard parsed.layout.isFragment == (model.content == .fragment) else { return "fragment" }
    let ports = [model.sourcePort, model.destinationPort]
    let said = parsed.ports.map { Int($0) }
    guard (parsed.layout.sourceIsLower ? said : said.reversed()) == ports else { return "ports, not \(ports)" }
    let transport: FrameLayout.Transport
    switch model.content {
    case .tcp: transport = .tcp
    case .udp: transport = .udp
    case .icmp: transport = .icmp
    case .other: transport = model.ipProtocol == 132 ? .sctp : .other
    case .notIP, .unreadable, .incomplete, .fragment: transport = .none
    }
    return parsed.layout.transport == transport ? nil : "\(parsed.layout.transport), not \(transport)"
  }
}
