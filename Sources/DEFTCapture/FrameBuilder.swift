/// Writes one frame at a time into a buffer of its own: `beginEthernet`/`beginIP`, transport, then `finish`.
struct FrameBuilder: ~Copyable {
  static let capacity = 2048
  /// Ethernet's shortest frame without FCS, in bytes.
  static let shortest = 60

  enum ExtensionHeader: UInt8 {
    case none = 255
    case hopByHop = 0
    case destinationOptions = 60
    var length: Int { self == .none ? 0 : 8 }
  }

  /// A part of an IP datagram. `offset` in bytes, a multiple of 8.
  struct Fragment {
    var identification: UInt32
    var offset: Int
    var more: Bool
  }

  let bytes = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
  private(set) var count = 0
  let pattern = PayloadPattern()

  deinit { bytes.deallocate() }

  // MARK: - Link layer

  mutating func beginEthernet(source: UInt64, destination: UInt64, etherType: UInt16) {
    count = 0
    append48(destination)
    append48(source)
    append(etherType)
  }

  private mutating func beginEthernet(_ path: borrowing PacketPath) {
    let etherType: UInt16 = path.version == .ipv4 ? 0x0800 : 0x86dd
    switch path.tagging {
    case .none:
      beginEthernet(source: path.sourceMAC, destination: path.destinationMAC, etherType: etherType)
    case .vlan:
      beginEthernet(source: path.sourceMAC, destination: path.destinationMAC, etherType: 0x8100)
      append(path.vlan)
      append(etherType)
    case .qinq:
      beginEthernet(source: path.sourceMAC, destination: path.destinationMAC, etherType: 0x88a8)
      append(path.serviceVLAN)
      append(0x8100 as UInt16)
      append(path.vlan)
      append(etherType)
    }
  }

  /// Pads to Ethernet's minimum with zeros.
  mutating func finish() {
    if count < Self.shortest {
      (bytes + count).initializeMemory(as: UInt8.self, repeating: 0, count: Self.shortest - count)
      count = Self.shortest
    }
  }

  // MARK: - Network layer

  /// - Parameters:
  ///   - payloadLength: bytes after the IP header and, for IPv6, after the extension headers given here.
  ///   - identification: of IPv4; with a fragment, the fragment's is used.
  mutating func beginIP(
    _ path: borrowing PacketPath, protocolNumber: UInt8, payloadLength: Int, identification: UInt16 = 0,
    extensionHeader: ExtensionHeader = .none, fragment: Fragment? = nil
  ) {
    beginEthernet(path)
    if path.version == .ipv4 {
      let header = count
      append(0x4500 as UInt16)
      append(UInt16(20 + payloadLength))
      if let fragment {
        append(UInt16(truncatingIfNeeded: fragment.identification))
        append(UInt16(fragment.offset / 8) | (fragment.more ? 0x2000 : 0))
      } else {
        append(identification)
        append(0x4000 as UInt16)  // do not fragment
      }
      append(UInt16(64) << 8 | UInt16(protocolNumber))
      append(0 as UInt16)
      append(UInt32(truncatingIfNeeded: path.source.low))
      append(UInt32(truncatingIfNeeded: path.destination.low))
      store(InternetChecksum.field(InternetChecksum.sum(bytes + header, count: 20)), at: header + 10)
    } else {
      let nextHeader = fragment != nil ? 44 : extensionHeader == .none ? protocolNumber : extensionHeader.rawValue
      let extraLength = (fragment != nil ? 8 : 0) + extensionHeader.length
      precondition(fragment == nil || extensionHeader == .none)
      append(0x6000_0000 as UInt32)
      append(UInt16(extraLength + payloadLength))
      append(UInt16(nextHeader) << 8 | 64)
      append(path.source.high)
      append(path.source.low)
      append(path.destination.high)
      append(path.destination.low)
      if let fragment {
        append(UInt16(protocolNumber) << 8)
        append(UInt16(fragment.offset) | (fragment.more ? 1 : 0))
        append(fragment.identification)
      } else if extensionHeader != .none {
        append(UInt16(protocolNumber) << 8)  // length 0: 8 bytes
        append(0x0104 as UInt16)  // PadN, 4 bytes
        append(0 as UInt32)
      }
    }
  }

  // MARK: - Transport layer (after beginIP)

  mutating func appendTCP(_ segment: TCPSegment, path: borrowing PacketPath) {
    let header = count
    append(path.sourcePort)
    append(path.destinationPort)
    append(segment.sequence)
    append(segment.acknowledgment)
    append(UInt16(segment.headerLength / 4) << 12 | UInt16(segment.flags.rawValue))
    append(0xffff as UInt16)  // window
    append(0 as UInt32)  // checksum, urgent pointer
    if segment.flags.contains(.syn) {
      // Maximum segment size: what is left of 1,500 bytes.
      append(0x0204 as UInt16)
      append(UInt16(path.version == .ipv4 ? 1460 : 1440))
    }
    appendPattern(from: Int(segment.sequence), count: segment.payloadLength)
    let length = count - header
    let sum =
      InternetChecksum.sum(bytes + header, count: length) + path.pseudoHeaderSum(protocolNumber: 6, length: length)
    store(InternetChecksum.field(sum), at: header + 16)
  }

  mutating func appendUDP(path: borrowing PacketPath, position: Int, payloadLength: Int) {
    appendUDPHeader(path: path, position: position, payloadLength: payloadLength)
    appendPattern(from: position, count: payloadLength)
  }

  /// The UDP header of a datagram whose payload is the pattern from `position` on; the payload may follow in fragments.
  mutating func appendUDPHeader(path: borrowing PacketPath, position: Int, payloadLength: Int) {
    let payload = pattern.from(position, count: payloadLength)
    appendUDPHeader(
      path: path, payloadLength: payloadLength, payloadSum: InternetChecksum.sum(payload, count: payloadLength))
  }

  mutating func appendUDPHeader(path: borrowing PacketPath, payloadLength: Int, payloadSum: UInt32) {
    let length = 8 + payloadLength
    let ports = UInt32(path.sourcePort) + UInt32(path.destinationPort)
    let sum = payloadSum + ports + UInt32(length) + path.pseudoHeaderSum(protocolNumber: 17, length: length)
    let checksum = InternetChecksum.field(sum)
    append(path.sourcePort)
    append(path.destinationPort)
    append(UInt16(length))
    append(checksum == 0 ? 0xffff : checksum)  // 0 would mean "none" (RFC 768)
  }

  mutating func appendEcho(
    reply: Bool, identifier: UInt16, sequence: UInt16, payloadLength: Int, path: borrowing PacketPath
  ) {
    let header = count
    let type: UInt16 = path.version == .ipv4 ? (reply ? 0 : 8) : (reply ? 129 : 128)
    append(type << 8)
    append(0 as UInt16)
    append(identifier)
    append(sequence)
    appendPattern(from: 0, count: payloadLength)
    let length = count - header
    var sum = InternetChecksum.sum(bytes + header, count: length)
    if path.version == .ipv6 { sum += path.pseudoHeaderSum(protocolNumber: 58, length: length) }  // RFC 4443 §2.3
    store(InternetChecksum.field(sum), at: header + 2)
  }

  // MARK: - Bytes

  mutating func appendPattern(from position: Int, count length: Int) {
    precondition(count + length <= Self.capacity)
    (bytes + count).copyMemory(from: pattern.from(position, count: length), byteCount: length)
    count += length
  }

  mutating func append<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    store(value, at: count)
    count += MemoryLayout<T>.size
  }

  mutating func append48(_ value: UInt64) {
    append(UInt16(truncatingIfNeeded: value >> 32))
    append(UInt32(truncatingIfNeeded: value))
  }

  mutating func append(_ text: StaticString) {
    precondition(count + text.utf8CodeUnitCount <= Self.capacity)
    (bytes + count).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
    count += text.utf8CodeUnitCount
  }

  private func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    precondition(offset + MemoryLayout<T>.size <= Self.capacity)
    bytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: T.self)
  }
}
