/// Frames built byte by byte, for the parser's tests.
enum TestFrames {
  static let macA: [UInt8] = [2, 0, 0, 0, 0, 1]
  static let macB: [UInt8] = [2, 0, 0, 0, 0, 2]

  static func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }

  static func ethernet(_ type: Int, _ payload: [UInt8], tags: [Int] = [], reversed: Bool = false) -> [UInt8] {
    let addresses = reversed ? macB + macA : macA + macB
    let tagBytes: [UInt8] = tags.flatMap { (tag: Int) -> [UInt8] in word(tag) + [0, 42] }
    return addresses + tagBytes + word(type) + payload
  }

  static func ipv4(
    _ ipProtocol: UInt8, _ payload: [UInt8], options: Int = 0, fragment: Int = 0, totalLength: Int? = nil,
    reversed: Bool = false
  ) -> [UInt8] {
    let ends: [[UInt8]] = [[10, 0, 0, 1], [10, 0, 0, 2]]
    let length = totalLength ?? 20 + options + payload.count
    return [UInt8(0x45 + options / 4), 0] + word(length) + [0, 1] + word(fragment) + [64, ipProtocol, 0, 0]
      + (reversed ? ends[1] + ends[0] : ends[0] + ends[1]) + [UInt8](repeating: 1, count: options) + payload
  }

  static func ipv6(_ next: UInt8, _ payload: [UInt8], payloadLength: Int? = nil, reversed: Bool = false) -> [UInt8] {
    let low: [UInt8] = [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
    let high: [UInt8] = [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [2]
    return [0x60, 0, 0, 0] + word(payloadLength ?? payload.count) + [next, 64] + (reversed ? high + low : low + high)
      + payload
  }

  static func ports(_ reversed: Bool) -> [UInt8] { reversed ? word(80) + word(4000) : word(4000) + word(80) }
  static func tcp(reversed: Bool = false, data: Int = 6) -> [UInt8] {
    ports(reversed) + [0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0] + [UInt8](repeating: 7, count: data)
  }
  static func udp(reversed: Bool = false, data: Int = 18) -> [UInt8] {
    ports(reversed) + word(8 + data) + [0, 0] + [UInt8](repeating: 7, count: data)
  }
  static func sctp(reversed: Bool = false) -> [UInt8] { ports(reversed) + [UInt8](repeating: 0, count: 20) }

  /// Extension headers in front of what `payload` begins with.
  static func chained(_ headers: [(type: UInt8, units: Int)], _ last: UInt8, _ payload: [UInt8]) -> (UInt8, [UInt8]) {
    var next = last
    var bytes = payload
    for header in headers.reversed() {
      let length = header.type == 51 ? (header.units + 2) * 4 : header.type == 44 ? 8 : (header.units + 1) * 8
      bytes = [next, header.type == 44 ? 0 : UInt8(header.units)] + [UInt8](repeating: 0, count: length - 2) + bytes
      next = header.type
    }
    return (next, bytes)
  }

  /// One frame of every kind that the parser tells apart, as sent by one end or by the other.
  static func everyKind(reversed: Bool = false) -> [(name: String, frame: [UInt8])] {
    func four(_ p: UInt8, _ payload: [UInt8], options: Int = 0, fragment: Int = 0, tags: [Int] = []) -> [UInt8] {
      let packet = ipv4(p, payload, options: options, fragment: fragment, reversed: reversed)
      return ethernet(0x0800, packet, tags: tags, reversed: reversed)
    }
    func six(_ chain: [(type: UInt8, units: Int)], _ last: UInt8, _ payload: [UInt8], tags: [Int] = []) -> [UInt8] {
      let (next, bytes) = chained(chain, last, payload)
      return ethernet(0x86dd, ipv6(next, bytes, reversed: reversed), tags: tags, reversed: reversed)
    }
    let tcp = tcp(reversed: reversed)
    let udp = udp(reversed: reversed)
    let sctp = sctp(reversed: reversed)
    let icmp: [UInt8] = [8, 0, 0, 0, 0, 1, 0, 1]
    return [
      ("IPv4 TCP", four(6, tcp)), ("IPv4 UDP", four(17, udp)), ("IPv4 ICMP", four(1, icmp)),
      ("IPv4 SCTP", four(132, sctp)), ("IPv4 GRE", four(47, [0, 0, 8, 0])), ("IPv4 empty", four(6, [])),
      ("IPv4 options", four(6, tcp, options: 40)), ("IPv4 first fragment", four(17, udp, fragment: 0x2000)),
      ("IPv4 last fragment", four(17, udp, fragment: 0x00b9)), ("IPv4 don't fragment", four(6, tcp, fragment: 0x4000)),
      ("VLAN TCP", four(6, tcp, tags: [0x8100])), ("QinQ UDP", four(17, udp, tags: [0x88a8, 0x8100])),
      ("old QinQ", four(17, udp, tags: [0x9100, 0x8100])),
      ("eight tags", four(6, tcp, tags: [Int](repeating: 0x8100, count: 8))),
      ("nine tags", four(6, tcp, tags: [Int](repeating: 0x8100, count: 9))),
      ("IPv6 TCP", six([], 6, tcp)), ("IPv6 UDP", six([], 17, udp)), ("IPv6 ICMP", six([], 58, icmp)),
      ("IPv6 SCTP", six([], 132, sctp)), ("IPv6 VLAN", six([], 17, udp, tags: [0x8100])),
      ("IPv6 hop-by-hop", six([(0, 0)], 6, tcp)), ("IPv6 routing", six([(43, 2)], 6, tcp)),
      ("IPv6 destination", six([(60, 1)], 17, udp)), ("IPv6 authentication", six([(51, 4)], 6, tcp)),
      ("IPv6 long chain", six([(0, 0), (60, 1), (43, 2), (51, 4), (60, 0)], 6, tcp)),
      ("IPv6 fragment", six([(44, 0)], 17, udp)), ("IPv6 fragment behind", six([(0, 0), (44, 0)], 17, udp)),
      ("IPv6 ESP", six([(60, 0)], 50, [1, 2, 3, 4, 5, 6, 7, 8])), ("IPv6 no next header", six([(0, 0)], 59, [])),
      ("IPv6 eight headers", six([(type: UInt8, units: Int)](repeating: (60, 0), count: 8), 6, tcp)),
      ("IPv6 nine headers", six([(type: UInt8, units: Int)](repeating: (60, 0), count: 9), 6, tcp)),
      ("IPv6 far transport", six([(60, 127)], 6, tcp)), ("ARP", ethernet(0x0806, icmp + icmp, reversed: reversed)),
    ]
  }
}
