/// What a flow of profile imix is like, drawn once.
struct FlowTraits {
  enum Transport: UInt8 { case tcp, udp, icmp }

  var version = PacketPath.Version.ipv4
  var transport = Transport.tcp
  var tagging = PacketPath.Tagging.none
  var ending = TCPConversation.Ending.fin
  var extensionHeader = FrameBuilder.ExtensionHeader.none
  /// UDP only.
  var fragmenting = false
  var unsolicited = false

  /// One flow of every kind that is promised. A capture with this many flows or more has all of them.
  static let promised: [FlowTraits] = [
    FlowTraits(),
    FlowTraits(ending: .reset),
    FlowTraits(version: .ipv6),
    FlowTraits(transport: .udp),
    FlowTraits(version: .ipv6, transport: .udp),
    FlowTraits(transport: .icmp),
    FlowTraits(version: .ipv6, transport: .icmp),
    FlowTraits(tagging: .vlan),
    FlowTraits(version: .ipv6, transport: .udp, tagging: .vlan),
    FlowTraits(tagging: .qinq),
    FlowTraits(transport: .udp, fragmenting: true),
    FlowTraits(version: .ipv6, transport: .udp, fragmenting: true),
    FlowTraits(version: .ipv6, transport: .udp, extensionHeader: .hopByHop),
    FlowTraits(version: .ipv6, extensionHeader: .destinationOptions),
    FlowTraits(unsolicited: true),
    FlowTraits(version: .ipv6, transport: .udp, unsolicited: true),
  ]

  /// - Parameter popular: whether the flow has more than its share of packets. Such a flow is never unsolicited, lest a
  ///   firewall drop a large part of the whole capture, and not an echo, which would be a flood.
  static func draw(popular: Bool, _ random: inout SeededGenerator) -> FlowTraits {
    var traits = FlowTraits()
    if random.chance(25, of: 100) { traits.version = .ipv6 }
    switch random.below(100) {
    case 0..<65: traits.transport = .tcp
    case 65..<95: traits.transport = .udp
    default: traits.transport = popular ? .udp : .icmp
    }
    switch random.below(100) {
    case 0..<85: traits.tagging = .none
    case 85..<95: traits.tagging = .vlan
    default: traits.tagging = .qinq
    }
    switch random.below(10) {
    case 0..<7: traits.ending = .fin
    case 7..<9: traits.ending = .reset
    default: traits.ending = .open
    }
    let fragmenting = random.chance(10, of: 100)
    traits.fragmenting = fragmenting && traits.transport == .udp
    let extensionHeader = random.below(100)
    if traits.version == .ipv6, !traits.fragmenting, extensionHeader < 16 {
      traits.extensionHeader = extensionHeader < 8 ? .hopByHop : .destinationOptions
    }
    let unsolicited = random.chance(6, of: 100)
    traits.unsolicited = unsolicited && !popular
    return traits
  }
}

extension SampleSummary.Flows {
  mutating func count(_ traits: FlowTraits) {
    total += 1
    if traits.version == .ipv4 { ipv4 += 1 } else { ipv6 += 1 }
    switch traits.transport {
    case .tcp: tcp += 1
    case .udp: udp += 1
    case .icmp: icmp += 1
    }
    switch traits.tagging {
    case .none: break
    case .vlan: vlan += 1
    case .qinq: qinq += 1
    }
    if traits.fragmenting { fragmented += 1 }
    if traits.extensionHeader != .none { extensionHeaders += 1 }
    if traits.unsolicited { unsolicited += 1 }
  }
}
