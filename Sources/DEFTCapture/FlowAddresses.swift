/// The ends of flow number `index`, computed and not stored.
///
/// Inside hosts are in 10.0.0.0/8 and fd00::/8. Outside are documentation addresses (RFC 5737, 3849) and, for who knocks
/// unasked, benchmarking addresses (RFC 2544, 5180). Four flows share an inside host, and the last two bits of their
/// outside addresses tell them apart: no two flows have the same pair of addresses, so that even fragments and echoes,
/// which have no ports to read, are flows of their own.
struct FlowAddresses {
  static let routerMAC: UInt64 = 0x02ff_ff00_0001
  /// 10.0.0.1, answers ARP.
  static let router: UInt32 = 0x0a00_0001

  // Ports whose payload no dissector takes for a broken message of its protocol.
  private static let tcpServices: [UInt16] = [443, 5001, 5201, 9100]
  private static let udpServices: [UInt16] = [5004, 8125, 27015, 6000]
  private static let probedTCP: [UInt16] = [22, 23, 445, 3389]
  private static let probedUDP: [UInt16] = [7, 9, 1434, 27960]

  private let key: UInt64
  private let hostOffset: UInt64

  init(seed: UInt64) {
    var random = SeededGenerator(seed: seed, stream: 1)
    key = random.next()
    hostOffset = random.next()
  }

  /// Inside host number `host`: 65,536 × 250 of them, starting somewhere that depends on the seed.
  func insideHost(_ host: Int) -> UInt32 {
    let network = (UInt64(host / 250) &+ hostOffset) & 0xffff
    return 0x0a00_0000 | UInt32(network) << 8 | UInt32(2 + host % 250)
  }

  func hostMAC(_ host: Int) -> UInt64 { 0x0200_0000_0000 | UInt64(insideHost(host)) }

  /// The flow's path from the side that opens it to the other.
  func path(_ index: Int, _ traits: FlowTraits) -> PacketPath {
    let hash = SplitMix64.mix(key ^ UInt64(index))
    let host = index >> 2
    let inside = insideHost(host)
    var path = PacketPath(
      version: traits.version, tagging: traits.tagging, vlan: UInt16(100 + hash >> 60),
      serviceVLAN: UInt16(1000 + hash >> 62),
      sourceMAC: hostMAC(host), destinationMAC: Self.routerMAC, source: .init(low: UInt64(inside)),
      destination: .init(low: UInt64(outside(index, hash, traits))), sourcePort: 0, destinationPort: 0)
    if traits.version == .ipv6 {
      path.source = .init(high: 0xfd00_0000_0000_0000 | UInt64(inside >> 8), low: UInt64(inside & 0xff))
      path.destination = .init(
        high: traits.unsolicited ? 0x2001_0002_0000_0000 : 0x2001_0db8_0000_0000, low: path.destination.low)
    }
    if traits.transport != .icmp {
      path.sourcePort = UInt16(32_768 + hash >> 40 & 0x3fff)
      let services =
        switch (traits.transport, traits.unsolicited) {
        case (.tcp, false): Self.tcpServices
        case (.tcp, true): Self.probedTCP
        case (_, false): Self.udpServices
        case (_, true): Self.probedUDP
        }
      path.destinationPort = services[Int(hash >> 32 & 0xff) % services.count]
    }
    if traits.unsolicited {
      // The inside host is who is called.
      swap(&path.source, &path.destination)
      swap(&path.sourceMAC, &path.destinationMAC)
    }
    return path
  }

  /// The outside end's 32 bits: an IPv4 address, or the last bits of an IPv6 one.
  private func outside(_ index: Int, _ hash: UInt64, _ traits: FlowTraits) -> UInt32 {
    let last = UInt32(index & 3)
    if traits.unsolicited { return 0xc612_0000 | UInt32(hash & 0x1_fffc) | last }  // 198.18.0.0/15
    // 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24: 16 × 4 servers in each.
    let network: UInt32 = [0xc000_0200, 0xc633_6400, 0xcb00_7100][Int(hash & 0xffff) % 3]
    return network | 0x40 | UInt32(hash >> 16 & 0x3c) | last
  }
}
