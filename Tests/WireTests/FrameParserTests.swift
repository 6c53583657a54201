import DEFTWire
import Testing

@Suite struct FrameParserTests {
  private func parse(_ name: String, reversed: Bool = false) throws -> Parsed {
    let frame = try #require(TestFrames.everyKind(reversed: reversed).first { $0.name == name }).frame
    return try #require(Parsed(frame), "\(name): the two ways through the parser differ")
  }

  @Test func transportsAndWhereTheyAre() throws {
    let expected: [(String, FrameLayout.Transport, Int, Int)] = [
      ("IPv4 TCP", .tcp, 14, 34), ("IPv4 UDP", .udp, 14, 34), ("IPv4 ICMP", .icmp, 14, 34),
      ("IPv4 SCTP", .sctp, 14, 34), ("IPv4 GRE", .other, 14, 34), ("IPv4 options", .tcp, 14, 74),
      ("IPv4 don't fragment", .tcp, 14, 34), ("VLAN TCP", .tcp, 18, 38), ("QinQ UDP", .udp, 22, 42),
      ("old QinQ", .udp, 22, 42), ("eight tags", .tcp, 46, 66), ("IPv6 TCP", .tcp, 14, 54),
      ("IPv6 UDP", .udp, 14, 54), ("IPv6 ICMP", .icmp, 14, 54), ("IPv6 SCTP", .sctp, 14, 54),
      ("IPv6 VLAN", .udp, 18, 58), ("IPv6 hop-by-hop", .tcp, 14, 62), ("IPv6 routing", .tcp, 14, 78),
      ("IPv6 destination", .udp, 14, 70), ("IPv6 authentication", .tcp, 14, 78),
      ("IPv6 long chain", .tcp, 14, 54 + 8 + 16 + 24 + 24 + 8), ("IPv6 ESP", .other, 14, 62),
      ("IPv6 no next header", .other, 14, 62), ("IPv6 eight headers", .tcp, 14, 54 + 64),
    ]
    for (name, transport, network, offset) in expected {
      let parsed = try parse(name)
      #expect(parsed.layout.transport == transport, "\(name)")
      #expect(parsed.layout.networkOffset == network, "\(name)")
      #expect(parsed.layout.transportOffset == offset, "\(name)")
      #expect(!parsed.layout.isFragment && parsed.layout.sourceIsLower, "\(name)")
      #expect(parsed.layout.isIPv4 == !name.hasPrefix("IPv6") && parsed.layout.isIPv6 == name.hasPrefix("IPv6"), "\(name)")
      #expect(parsed.kind == (name.hasPrefix("IPv6") ? .ipv6 : .ipv4), "\(name)")
      let hasPorts = [.tcp, .udp, .sctp].contains(transport)
      #expect(parsed.ports == (hasPorts ? [4000, 80] : [0, 0]), "\(name)")
    }
  }

  @Test func fragmentsHaveAKeyOfTheirOwn() throws {
    for name in ["IPv4 first fragment", "IPv4 last fragment", "IPv6 fragment", "IPv6 fragment behind"] {
      let parsed = try parse(name)
      #expect(parsed.layout.isFragment && parsed.layout.transport == .none, "\(name)")
      #expect(parsed.kind == (name.hasPrefix("IPv4") ? .ipv4Fragment : .ipv6Fragment), "\(name)")
      #expect(parsed.ipProtocol == 17 && parsed.ports == [0, 0], "\(name)")
    }
    #expect(try parse("IPv4 first fragment").key == parse("IPv4 last fragment").key)
    #expect(try parse("IPv4 first fragment").key != parse("IPv4 UDP").key)
  }

  @Test func whatCannotBeReadIsStillAFlow() throws {
    #expect(try parse("nine tags").kind == .other)
    #expect(try parse("ARP").kind == .other)
    #expect(try parse("ARP").ports == [0x0806, 0])
    for name in ["IPv6 nine headers", "IPv6 far transport"] {
      let parsed = try parse(name)
      #expect(parsed.kind == .ipv6 && parsed.layout.isIPv6 && parsed.layout.transport == .none, "\(name)")
      #expect(parsed.ports == [0, 0], "\(name)")
    }
    #expect(try #require(Parsed([])).kind == .runt)
    #expect(try #require(Parsed([UInt8](repeating: 1, count: 13))).kind == .runt)
    // An IP header with a wrong version, a header length below 20, a total length below the header length.
    for (offset, value) in [(14, UInt8(0x55)), (14, 0x44), (17, 19)] {
      var frame = TestFrames.ethernet(0x0800, TestFrames.ipv4(6, TestFrames.tcp()))
      frame[offset] = value
      #expect(try #require(Parsed(frame)).kind == .other)
    }
  }

  @Test func lengthsSaidByTheHeaderBind() throws {
    // Padding behind a short packet is not a transport header.
    let short = TestFrames.ethernet(0x0800, TestFrames.ipv4(6, TestFrames.tcp(), totalLength: 30))
    let parsed = try #require(Parsed(short))
    #expect(parsed.layout.transport == .none && parsed.ports == [4000, 80])
    let none = try #require(Parsed(TestFrames.ethernet(0x0800, TestFrames.ipv4(6, TestFrames.tcp(), totalLength: 20))))
    #expect(none.layout.transport == .none && none.ports == [0, 0])
    // 0: segmentation offload, the frame's end counts.
    let offloaded = TestFrames.ethernet(0x0800, TestFrames.ipv4(6, TestFrames.tcp(), totalLength: 0))
    #expect(try #require(Parsed(offloaded)).layout.transport == .tcp)
    let jumbo = TestFrames.ethernet(0x86dd, TestFrames.ipv6(6, TestFrames.tcp(), payloadLength: 0))
    #expect(try #require(Parsed(jumbo)).layout.transport == .tcp)
    let six = TestFrames.ethernet(0x86dd, TestFrames.ipv6(6, TestFrames.tcp(), payloadLength: 19))
    #expect(try #require(Parsed(six)).layout.transport == .none)
  }

  @Test func bothDirectionsAreOneFlow() throws {
    for (there, back) in zip(TestFrames.everyKind(), TestFrames.everyKind(reversed: true)) {
      let first = try #require(Parsed(there.frame))
      let second = try #require(Parsed(back.frame))
      #expect(first.key == second.key, "\(there.name)")
      guard first.layout != .opaque else { continue }
      #expect(first.layout.sourceIsLower && !second.layout.sourceIsLower, "\(there.name)")
    }
  }

  /// Then only the ports tell the two ends apart.
  @Test func aHostThatSpeaksToItself() throws {
    func parse(_ reversed: Bool, tags: [Int] = []) throws -> Parsed {
      var packet = TestFrames.ipv4(6, TestFrames.tcp(reversed: reversed))
      for i in 0..<4 { packet[16 + i] = packet[12 + i] }
      return try #require(Parsed(TestFrames.ethernet(0x0800, packet, tags: tags)))
    }
    let (there, back) = (try parse(false), try parse(true))
    #expect(there.key == back.key && there.kind == .ipv4)
    #expect(there.layout.transport == .tcp && there.layout.sourceIsLower != back.layout.sourceIsLower)
    #expect(try parse(false, tags: [0x8100]).key == there.key, "tags do not count")
  }

  @Test func differentFlowsHaveDifferentKeys() throws {
    var seen: [(String, FlowKey)] = []
    // Same addresses, ports and protocol on purpose in those that are not listed: tags, options and headers do not count.
    for name in [
      "IPv4 TCP", "IPv4 UDP", "IPv4 ICMP", "IPv4 SCTP", "IPv4 GRE", "IPv4 empty", "IPv4 first fragment", "IPv6 TCP",
      "IPv6 UDP", "IPv6 ICMP", "IPv6 SCTP", "IPv6 fragment", "IPv6 ESP", "IPv6 far transport", "ARP",
    ] {
      let key = try parse(name).key
      for (other, otherKey) in seen { #expect(key != otherKey, "\(name) and \(other)") }
      seen.append((name, key))
    }
    for name in ["IPv4 options", "VLAN TCP", "eight tags"] { #expect(try parse(name).key == parse("IPv4 TCP").key) }
    for name in ["IPv6 hop-by-hop", "IPv6 routing", "IPv6 authentication", "IPv6 long chain"] {
      #expect(try parse(name).key == parse("IPv6 TCP").key)
    }
  }

  @Test func flagsOfTheCoreDoNotTouchTheRest() {
    var layout = FrameLayout(
      network: 46, version: 2, transport: .sctp, transportDelta: 1023, fragment: false, sourceIsLower: true)
    let before = layout
    layout.isCloseMarker = true
    layout.isDropped = true
    #expect(layout.isCloseMarker && layout.isDropped && layout.transportOffset == 1069 && layout.transport == .sctp)
    layout.isCloseMarker = false
    layout.isDropped = false
    #expect(layout == before)
  }
}
