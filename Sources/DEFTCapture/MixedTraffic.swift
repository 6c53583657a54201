/// Profile imix: many conversations at once, each with its share of the packets.
///
/// Every flow's number of packets is fixed in advance (Zipf), so that the file has exactly the packets and flows asked for
/// and connections can close in time. Each flow lives for a part of the duration and sends at its own pace; that decides
/// who sends next, while the packets' times are those of the whole (`ArrivalClock`).
struct MixedTraffic {
  /// One in this many packets is ARP, one in this many LLDP; captures shorter than `shortestWithLinkFrames` have neither.
  private static let arpShare = 500
  private static let lldpShare = 2_000
  private static let shortestWithLinkFrames = 100
  /// Pause between the steps of a handshake or the fragments of a datagram, in ns, on average.
  private static let promptGap = 500_000.0
  /// A flow that uses IPv6 extension headers does so in one packet of this many.
  private static let extensionHeaderInterval = 4

  private(set) var flows = SampleSummary.Flows()
  private var conversations: [Conversation] = []
  private var queue = EventQueue([])
  private let addresses: FlowAddresses
  private let hosts: Int
  private var random: SeededGenerator
  private var sizes = SizeMix()

  /// One flow, or all ARP or LLDP frames.
  private struct Conversation {
    enum Speech {
      case tcp(TCPConversation)
      case udp(UDPConversation)
      case icmp
      case arp
      case lldp
    }
    var speech: Speech
    var traits: FlowTraits
    /// Packets sent, and to be sent.
    var sent: UInt32 = 0
    var left: UInt32
    /// Mean pause in ns of virtual time.
    var gap: Double
  }

  init(_ options: SampleOptions) {
    addresses = FlowAddresses(seed: options.seed)
    random = SeededGenerator(seed: options.seed, stream: 4)
    let count = options.effectiveFlows
    hosts = (count + 3) / 4
    let duration = Double(options.durationNanoseconds)

    var arp = 0
    var lldp = 0
    if options.packets >= Self.shortestWithLinkFrames {
      arp = max(2, options.packets / Self.arpShare & ~1)  // requests and replies
      lldp = max(1, options.packets / Self.lldpShare)
      if options.packets - arp - lldp < count { (arp, lldp) = (0, 0) }
    }
    let packets = options.packets - arp - lldp
    let mean = packets / count
    // Half of a flow's fair share for everyone, but no more than a whole connection needs.
    let minimum = max(1, min(8, mean / 2))
    var shares = ZipfDistribution(count: count, exponent: options.popularity).apportion(packets, minimum: minimum)
    // The promised kinds go to the least popular flows, so that they do not decide what the capture is like.
    let promised = count >= FlowTraits.promised.count ? FlowTraits.promised : []
    random.shuffle(&shares, first: count - promised.count)

    var events: [EventQueue.Event] = []
    conversations.reserveCapacity(count + 2)
    events.reserveCapacity(count + 2)
    for index in 0..<count {
      let share = shares[index]
      let special = index - (count - promised.count)
      let traits = special >= 0 ? promised[special] : .draw(popular: share > mean, &random)
      flows.count(traits)
      // Flows with many packets last longer.
      let part = min(1, Double(share) / Double(2 * mean)) * (0.25 + 0.75 * random.unit())
      events.append(.init(time: UInt64(random.unit() * (1 - part) * duration), conversation: Int32(index)))
      conversations.append(
        Conversation(
          speech: Self.speech(traits, &random), traits: traits, left: UInt32(share),
          gap: part * duration / Double(share))
      )
    }
    for (speech, share) in [(Conversation.Speech.arp, arp), (.lldp, lldp)] where share > 0 {
      events.append(.init(time: 0, conversation: Int32(conversations.count)))
      conversations.append(
        Conversation(speech: speech, traits: FlowTraits(), left: UInt32(share), gap: duration / Double(share)))
    }
    queue = EventQueue(events)
  }

  private static func speech(_ traits: FlowTraits, _ random: inout SeededGenerator) -> Conversation.Speech {
    switch traits.transport {
    case .tcp: .tcp(TCPConversation(ending: traits.ending, answered: !traits.unsolicited, random: &random))
    case .udp: .udp(UDPConversation(fragmenting: traits.fragmenting, answered: !traits.unsolicited))
    case .icmp: .icmp
    }
  }

  mutating func write(to sink: inout SampleSink) throws(CaptureError) {
    var frame = FrameBuilder()
    while let event = queue.first {
      let index = Int(event.conversation)
      let prompt = build(index, into: &frame, &sink.summary.packets)
      conversations[index].sent += 1
      conversations[index].left -= 1
      try sink.append(frame)
      if conversations[index].left == 0 {
        queue.removeFirst()
      } else {
        let gap = conversations[index].gap
        let mean = prompt ? min(gap, Self.promptGap) : gap
        queue.rescheduleFirst(at: event.time + UInt64(mean * random.exponential()))
      }
    }
  }

  /// Builds the conversation's next frame. Returns whether the one after it follows at once.
  private mutating func build(
    _ index: Int, into frame: inout FrameBuilder, _ counts: inout SampleSummary.Packets
  ) -> Bool {
    switch conversations[index].speech {
    case .tcp(let conversation):
      counts.tcp += 1
      return buildTCP(index, conversation, into: &frame, &counts)
    case .udp(let conversation):
      counts.udp += 1
      return buildUDP(index, conversation, into: &frame, &counts)
    case .icmp:
      counts.icmp += 1
      return buildEcho(index, into: &frame, &counts)
    case .arp:
      counts.arp += 1
      sizes.small()
      let sent = Int(conversations[index].sent)
      let host = Int(SplitMix64.mix(UInt64(sent / 2)) % UInt64(hosts))
      LinkFrames.arp(
        reply: sent & 1 == 1, hostMAC: addresses.hostMAC(host), host: addresses.insideHost(host),
        routerMAC: FlowAddresses.routerMAC, router: FlowAddresses.router, into: &frame)
      return sent & 1 == 0
    case .lldp:
      counts.lldp += 1
      sizes.small()
      LinkFrames.lldp(routerMAC: FlowAddresses.routerMAC, port: 1, into: &frame)
      return false
    }
  }

  private mutating func buildTCP(
    _ index: Int, _ before: TCPConversation, into frame: inout FrameBuilder, _ counts: inout SampleSummary.Packets
  ) -> Bool {
    var conversation = before
    let traits = conversations[index].traits
    let opening = addresses.path(index, traits)
    let extra = extensionHeader(index, &counts)
    let segment = conversation.next(
      left: Int(conversations[index].left), headerLength: opening.headerLength + extra.length, sizes: &sizes,
      random: &random)
    conversations[index].speech = .tcp(conversation)
    let path = segment.fromInitiator ? opening : opening.reversed
    frame.beginIP(
      path, protocolNumber: 6, payloadLength: segment.headerLength + segment.payloadLength,
      identification: identification(index), extensionHeader: extra)
    frame.appendTCP(segment, path: path)
    frame.finish()
    return conversation.isHandshake
  }

  private mutating func buildUDP(
    _ index: Int, _ before: UDPConversation, into frame: inout FrameBuilder, _ counts: inout SampleSummary.Packets
  ) -> Bool {
    var conversation = before
    let traits = conversations[index].traits
    let opening = addresses.path(index, traits)
    let extra = extensionHeader(index, &counts)
    let piece = conversation.next(
      left: Int(conversations[index].left), headerLength: opening.headerLength + extra.length,
      fragmentHeaderLength: traits.version == .ipv4 ? 0 : 8, sizes: &sizes, random: &random)
    conversations[index].speech = .udp(conversation)
    let path = piece.fromInitiator ? opening : opening.reversed
    let position = Int(piece.datagram)
    if let offset = piece.fragmentOffset {
      if traits.version == .ipv4 { counts.ipv4Fragments += 1 } else { counts.ipv6Fragments += 1 }
      frame.beginIP(
        path, protocolNumber: 17, payloadLength: piece.length,
        fragment: .init(identification: piece.datagram, offset: offset, more: piece.more))
      if offset == 0 {
        frame.appendUDPHeader(path: path, position: position, payloadLength: piece.payloadLength)
        frame.appendPattern(from: position, count: piece.length - 8)
      } else {
        frame.appendPattern(from: position + offset - 8, count: piece.length)
      }
    } else {
      frame.beginIP(
        path, protocolNumber: 17, payloadLength: piece.length, identification: identification(index),
        extensionHeader: extra)
      frame.appendUDP(path: path, position: position, payloadLength: piece.payloadLength)
    }
    frame.finish()
    return conversation.isMidway
  }

  /// Requests and, unless nobody answers, replies in turn; all small, like those of `ping`.
  private mutating func buildEcho(
    _ index: Int, into frame: inout FrameBuilder, _ counts: inout SampleSummary.Packets
  ) -> Bool {
    let traits = conversations[index].traits
    let sent = conversations[index].sent
    let reply = !traits.unsolicited && sent & 1 == 1
    let opening = addresses.path(index, traits)
    let path = reply ? opening.reversed : opening
    let extra = extensionHeader(index, &counts)
    sizes.small()
    // Reply and request must carry the same data, also if one of them has an extension header.
    let payloadLength = max(8, SizeMix.Class.small.rawValue - path.headerLength - 8)
    frame.beginIP(
      path, protocolNumber: traits.version == .ipv4 ? 1 : 58, payloadLength: 8 + payloadLength,
      identification: identification(index), extensionHeader: extra)
    frame.appendEcho(
      reply: reply, identifier: UInt16(truncatingIfNeeded: index),
      sequence: UInt16(truncatingIfNeeded: traits.unsolicited ? sent : sent / 2), payloadLength: payloadLength,
      path: path
    )
    frame.finish()
    return !reply && !traits.unsolicited
  }

  private func identification(_ index: Int) -> UInt16 { UInt16(truncatingIfNeeded: conversations[index].sent) }

  private func extensionHeader(_ index: Int, _ counts: inout SampleSummary.Packets) -> FrameBuilder.ExtensionHeader {
    let conversation = conversations[index]
    guard conversation.traits.extensionHeader != .none,
      Int(conversation.sent) % Self.extensionHeaderInterval == 1
    else { return .none }
    counts.extensionHeaders += 1
    return conversation.traits.extensionHeader
  }
}
