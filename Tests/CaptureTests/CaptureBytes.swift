/// Capture files made by hand, byte by byte.
struct CaptureBytes {
  var bytes: [UInt8] = []

  /// A pcap file header; `nanoseconds` selects the magic number.
  static func pcap(linkType: UInt32 = 1, nanoseconds: Bool = false) -> CaptureBytes {
    var file = CaptureBytes()
    file.put32(nanoseconds ? 0xa1b2_3c4d : 0xa1b2_c3d4)
    file.put16(2)
    file.put16(4)
    file.put32(0)
    file.put32(0)
    file.put32(65_535)
    file.put32(linkType)
    return file
  }

  /// `fraction`: µs or ns, as the header says. `length`: on the wire, by default as captured.
  mutating func packet(seconds: UInt32, fraction: UInt32, captured: Int, length: Int? = nil) {
    put32(seconds)
    put32(fraction)
    put32(UInt32(captured))
    put32(UInt32(length ?? captured))
    bytes += [UInt8](repeating: 0xab, count: captured)
  }

  /// A pcapng section header and one interface with µs timestamps.
  static func pcapng(linkType: UInt16 = 1) -> CaptureBytes {
    var file = CaptureBytes()
    file.block(0x0a0d_0d0a) {
      $0.put32(0x1a2b_3c4d)
      $0.put16(1)
      $0.put16(0)
      $0.put32(0xffff_ffff)
      $0.put32(0xffff_ffff)
    }
    file.interface(linkType: linkType)
    return file
  }

  mutating func interface(linkType: UInt16) {
    block(1) {
      $0.put16(linkType)
      $0.put16(0)
      $0.put32(65_535)
    }
  }

  /// An enhanced packet block.
  mutating func packetBlock(microseconds: UInt64, captured: Int, interface: UInt32 = 0) {
    block(6) {
      $0.put32(interface)
      $0.put32(UInt32(microseconds >> 32))
      $0.put32(UInt32(truncatingIfNeeded: microseconds))
      $0.put32(UInt32(captured))
      $0.put32(UInt32(captured))
      $0.bytes += [UInt8](repeating: 0xab, count: (captured + 3) & ~3)
    }
  }

  private mutating func block(_ type: UInt32, _ body: (inout CaptureBytes) -> Void) {
    var inner = CaptureBytes()
    body(&inner)
    put32(type)
    put32(UInt32(inner.bytes.count + 12))
    bytes += inner.bytes
    put32(UInt32(inner.bytes.count + 12))
  }

  mutating func put16(_ value: UInt16) { for shift in [0, 8] { bytes.append(UInt8(value >> shift & 0xff)) } }
  mutating func put32(_ value: UInt32) { for shift in [0, 8, 16, 24] { bytes.append(UInt8(value >> shift & 0xff)) } }
}
