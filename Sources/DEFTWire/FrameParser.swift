/// Ethernet, VLAN and QinQ tags, IPv4, IPv6 with extension headers, TCP, UDP, ICMP, SCTP: one pass, every length checked
/// here and nowhere else. A frame that cannot be understood still gets a key of its own kind: nothing is dropped for
/// being odd.
public enum FrameParser {
  /// VLAN tags followed before the frame counts as non-IP.
  @usableFromInline static let maximumTags = 8
  /// IPv6 extension headers followed before the rest counts as opaque.
  @usableFromInline static let maximumExtensionHeaders = 8

  /// TCP and UDP, as bits.
  @inlinable @inline(__always)
  static var plainProtocols: UInt32 { 1 << 6 | 1 << 17 }

  /// Parses the frame whose first `count` bytes are readable at `frame`.
  /// - Returns: where the headers are; `key` becomes the flow's canonical key.
  @inlinable @inline(__always)
  public static func parse(_ frame: UnsafeRawPointer, count: Int, key: inout FlowKey) -> FrameLayout {
    guard let plain = parsePlain(frame, count: count) else { return parseAny(frame, count: count, key: &key) }
    key = FlowKey(plain.words)
    return plain.layout
  }

  /// The usual frame: untagged IPv4 between two hosts, without options, not a fragment, TCP or UDP, all headers present. Few
  /// loads, and no branch that goes now this way and now that. nil: it is none of these, and `parseAny`'s.
  @inlinable @inline(__always)
  public static func parsePlain(
    _ frame: UnsafeRawPointer, count: Int
  ) -> (words: FlowKey.IPv4Words, layout: FrameLayout)? {
    guard _fastPath(count >= 54) else { return nil }
    // EtherType (2), version and header length (1), service (1), total length (2), identification (2).
    let head = UInt64(littleEndian: frame.loadUnaligned(fromByteOffset: 12, as: UInt64.self))
    // Flags and fragment offset (2), time to live (1), protocol (1).
    let rest = UInt32(littleEndian: frame.loadUnaligned(fromByteOffset: 20, as: UInt32.self))
    let ipProtocol = rest >> 24
    // Of the two that are plain, TCP (6) has this bit and UDP (17) has not.
    let isTCP = ipProtocol >> 1 & 1
    let length = UInt32(UInt16(truncatingIfNeeded: head >> 32).byteSwapped)
    let leastLength = 28 &+ isTCP &* 12
    let addresses = UInt64(littleEndian: frame.loadUnaligned(fromByteOffset: 26, as: UInt64.self))
    let ports = UInt32(littleEndian: frame.loadUnaligned(fromByteOffset: 34, as: UInt32.self))
    let swapped = addresses << 32 | addresses >> 32
    // Whatever must be 0, in one word: a branch for each would be mispredicted where TCP and UDP are mixed.
    let unusual =
      ((UInt32(truncatingIfNeeded: head) ^ 0x45_0008) & 0xff_ffff) | rest & 0xff3f
      | (~plainProtocols >> (ipProtocol & 31) & 1) | ipProtocol >> 5 | (length &- leastLength) >> 31
    guard _fastPath(unusual == 0 && addresses != swapped) else { return nil }
    // The halves differ, so the source (the lower half here) is less if having it on top makes less.
    let ordered = swapped < addresses
    return (
      FlowKey.IPv4Words(
        addresses: ordered ? addresses : swapped, ports: ordered ? ports : ports << 16 | ports >> 16,
        ipProtocol: ipProtocol),
      FrameLayout(
        rawValue: FrameLayout.plainUDP.rawValue &- isTCP &* FrameLayout.fromUDPToTCP | (ordered ? FrameLayout.lower : 0))
    )
  }

  /// address (32 bits) | port (16 bits), read as they stand in the frame, as little-endian words: any order will do that is the
  /// same for both directions.
  private static func endpoint4(_ frame: UnsafeRawPointer, address: Int, port: UInt16) -> UInt64 {
    UInt64(frame.bigEndian32(address).byteSwapped) << 16 | UInt64(port.byteSwapped)
  }

  /// The general case, out of line.
  @inline(never)
  public static func parseAny(_ frame: UnsafeRawPointer, count: Int, key: inout FlowKey) -> FrameLayout {
    guard count >= 14 else {
      key = FlowKey(a: 0, b: 0, c: 0, d: 0, lower: 0, upper: 0, ipProtocol: 0, kind: .runt)
      return .opaque
    }
    var etherType = frame.bigEndian16(12)
    var offset = 14
    var tags = 0
    while etherType == 0x8100 || etherType == 0x88a8 || etherType == 0x9100 {
      guard tags < maximumTags, count >= offset + 4 else { return opaque(frame, etherType, &key) }
      etherType = frame.bigEndian16(offset + 2)
      offset += 4
      tags += 1
    }
    if etherType == 0x0800 {
      return parseIPv4(frame, at: offset, count: count, key: &key) ?? opaque(frame, etherType, &key)
    }
    if etherType == 0x86dd {
      return parseIPv6(frame, at: offset, count: count, key: &key) ?? opaque(frame, etherType, &key)
    }
    return opaque(frame, etherType, &key)
  }

  private static func opaque(_ frame: UnsafeRawPointer, _ etherType: UInt16, _ key: inout FlowKey) -> FrameLayout {
    let destination = frame.bigEndian64(0) >> 16
    let source = UInt64(frame.bigEndian16(6)) << 32 | UInt64(frame.bigEndian32(8))
    key = FlowKey(
      a: min(source, destination), b: max(source, destination), c: 0, d: 0, lower: etherType, upper: 0, ipProtocol: 0,
      kind: .other)
    return .opaque
  }

  private static func parseIPv4(_ frame: UnsafeRawPointer, at l3: Int, count: Int, key: inout FlowKey) -> FrameLayout? {
    guard count >= l3 + 20, frame.byte(l3) >> 4 == 4 else { return nil }
    let headerLength = Int(frame.byte(l3) & 15) * 4
    let totalLength = Int(frame.bigEndian16(l3 + 2))
    // Segmentation offload leaves a total length of 0 in captures: then the frame's own end counts.
    let end = totalLength == 0 ? count : min(count, l3 + totalLength)
    guard headerLength >= 20, l3 + headerLength <= end else { return nil }
    let ipProtocol = frame.byte(l3 + 9)
    let fragment = frame.bigEndian16(l3 + 6) & 0x3fff != 0
    let l4 = l3 + headerLength
    let transport = fragment ? .none : transport(ipProtocol, available: end - l4)
    let (sourcePort, destinationPort) = fragment ? (0, 0) : ports(frame, ipProtocol, at: l4, end: end)
    let source = endpoint4(frame, address: l3 + 12, port: sourcePort)
    let destination = endpoint4(frame, address: l3 + 16, port: destinationPort)
    let (first, second) = source <= destination ? (source, destination) : (destination, source)
    key = FlowKey(
      a: (first >> 16) | (second >> 16) << 32, b: 0, c: 0, d: 0, lower: UInt16(truncatingIfNeeded: first),
      upper: UInt16(truncatingIfNeeded: second), ipProtocol: ipProtocol, kind: fragment ? .ipv4Fragment : .ipv4)
    return FrameLayout(
      network: l3, version: 1, transport: transport, transportDelta: headerLength, fragment: fragment,
      sourceIsLower: source <= destination)
  }

  private static func parseIPv6(_ frame: UnsafeRawPointer, at l3: Int, count: Int, key: inout FlowKey) -> FrameLayout? {
    guard count >= l3 + 40, frame.byte(l3) >> 4 == 6 else { return nil }
    let payloadLength = Int(frame.bigEndian16(l3 + 4))
    // 0: a jumbogram (RFC 2675) or segmentation offload.
    let end = payloadLength == 0 ? count : min(count, l3 + 40 + payloadLength)
    var next = frame.byte(l3 + 6)
    var l4 = l3 + 40
    var fragment = false
    var complete = true
    var headers = 0
    walk: while true {
      switch next {
      case 0, 43, 60, 135, 139, 140:  // hop-by-hop, routing, destination options, mobility, HIP, shim6 (RFC 8200, 6275)
        guard headers < maximumExtensionHeaders, end >= l4 + 8 else { complete = false; break walk }
        next = frame.byte(l4)
        l4 += (Int(frame.byte(l4 + 1)) + 1) * 8
      case 51:  // authentication header: length in 4-byte units (RFC 4302)
        guard headers < maximumExtensionHeaders, end >= l4 + 12 else { complete = false; break walk }
        next = frame.byte(l4)
        l4 += (Int(frame.byte(l4 + 1)) + 2) * 4
      case 44:  // fragment: what follows may be missing or belong to the first fragment only
        guard end >= l4 + 8 else { complete = false; break walk }
        next = frame.byte(l4)
        fragment = true
        break walk
      default:
        break walk
      }
      headers += 1
    }
    // The layout has ten bits for this distance; longer chains are legal but nothing behind them is looked at.
    if l4 - l3 > 0x3ff || l4 > end { complete = false }
    let readable = complete && !fragment
    let transport = readable ? transport(next, available: end - l4) : .none
    let (sourcePort, destinationPort) = readable ? ports(frame, next, at: l4, end: end) : (0, 0)
    let source = (frame.bigEndian64(l3 + 8), frame.bigEndian64(l3 + 16), sourcePort)
    let destination = (frame.bigEndian64(l3 + 24), frame.bigEndian64(l3 + 32), destinationPort)
    let ordered = source <= destination
    let (first, second) = ordered ? (source, destination) : (destination, source)
    key = FlowKey(
      a: first.0, b: first.1, c: second.0, d: second.1, lower: first.2, upper: second.2, ipProtocol: next,
      kind: fragment ? .ipv6Fragment : .ipv6)
    return FrameLayout(
      network: l3, version: 2, transport: transport, transportDelta: readable ? l4 - l3 : 0, fragment: fragment,
      sourceIsLower: ordered)
  }

  private static func transport(_ ipProtocol: UInt8, available: Int) -> FrameLayout.Transport {
    switch ipProtocol {
    case 6: available >= 20 ? .tcp : .none
    case 17, 136: available >= 8 ? .udp : .none
    case 1, 58: available >= 4 ? .icmp : .none
    case 132: available >= 12 ? .sctp : .none
    default: .other
    }
  }

  /// Ports of TCP, UDP, UDP-Lite, DCCP and SCTP; zeros where there are none to read.
  private static func ports(_ frame: UnsafeRawPointer, _ ipProtocol: UInt8, at l4: Int, end: Int) -> (UInt16, UInt16) {
    switch ipProtocol {
    case 6, 17, 33, 132, 136:
      end >= l4 + 4 ? (frame.bigEndian16(l4), frame.bigEndian16(l4 + 2)) : (0, 0)
    default: (0, 0)
    }
  }
}
