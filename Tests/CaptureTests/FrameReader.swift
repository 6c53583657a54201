/// An independent little reader: takes a pcap file apart with none of the code under test.
struct FrameReader {
  struct Frame {
    /// ns since 1970-01-01 UTC.
    var time: UInt64
    var bytes: [UInt8]

    func u8(_ offset: Int) -> Int { Int(bytes[offset]) }
    func u16(_ offset: Int) -> Int { u8(offset) << 8 | u8(offset + 1) }
    func u32(_ offset: Int) -> UInt32 { UInt32(u16(offset) << 16 | u16(offset + 2)) }
  }

  struct Fragment: Hashable {
    var identification: UInt32
    var offset: Int
    var more: Bool
  }

  /// A frame understood. Addresses are lists of 4 or 16 bytes.
  struct Packet {
    var frame: Frame
    var vlan: [Int] = []
    var etherType = 0
    var source: [UInt8] = []
    var destination: [UInt8] = []
    var protocolNumber = -1
    var extensionHeader: Int?
    var fragment: Fragment?
    /// Transport header and payload.
    var transport: [UInt8] = []
    var hasBadHeaderChecksum = false

    func t16(_ offset: Int) -> Int { Int(transport[offset]) << 8 | Int(transport[offset + 1]) }
    func t32(_ offset: Int) -> UInt32 { UInt32(t16(offset) << 16 | t16(offset + 2)) }

    var isInsideSource: Bool { source.first == (source.count == 4 ? 10 : 0xfd) }
    /// Both directions' name of the flow; no two generated flows share a pair of addresses.
    var flow: [[UInt8]] {
      source.lexicographicallyPrecedes(destination) ? [source, destination] : [destination, source]
    }

    /// Whether the one's-complement sum over pseudo-header and `datagram` comes out as all ones.
    func hasGoodChecksum(_ datagram: [UInt8]) -> Bool {
      var covered = datagram
      if protocolNumber != 1 {
        covered = source + destination
        covered += [UInt8(datagram.count >> 8), UInt8(datagram.count & 255), 0, UInt8(protocolNumber)] + datagram
      }
      return onesComplementSum(covered) == 0xffff
    }
  }

  private(set) var frames: [Frame] = []

  /// nil if the file is not a little-endian ns pcap with whole records.
  init?(_ file: [UInt8]) {
    func word(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(file[offset + $1]) << ($1 * 8) } }
    guard file.count >= 24, word(0) == 0xa1b2_3c4d, word(20) == 1 else { return nil }
    var offset = 24
    while offset < file.count {
      guard offset + 16 <= file.count else { return nil }
      let length = word(offset + 8)
      guard length == word(offset + 12), offset + 16 + length <= file.count else { return nil }
      let time = UInt64(word(offset)) * 1_000_000_000 + UInt64(word(offset + 4))
      frames.append(Frame(time: time, bytes: Array(file[(offset + 16)..<(offset + 16 + length)])))
      offset += 16 + length
    }
  }

  /// nil for a frame that is not what its own lengths say.
  static func parse(_ frame: Frame) -> Packet? {
    var packet = Packet(frame: frame)
    var offset = 12
    while frame.u16(offset) == 0x8100 || frame.u16(offset) == 0x88a8 {
      packet.vlan.append(frame.u16(offset))
      offset += 4
    }
    packet.etherType = frame.u16(offset)
    let ip = offset + 2
    switch packet.etherType {
    case 0x0800:
      let end = ip + frame.u16(ip + 2)
      guard frame.u8(ip) == 0x45, end <= frame.bytes.count else { return nil }
      packet.hasBadHeaderChecksum = onesComplementSum(Array(frame.bytes[ip..<(ip + 20)])) != 0xffff
      packet.source = Array(frame.bytes[(ip + 12)..<(ip + 16)])
      packet.destination = Array(frame.bytes[(ip + 16)..<(ip + 20)])
      packet.protocolNumber = frame.u8(ip + 9)
      let word = frame.u16(ip + 6)
      if word & 0x3fff != 0 {
        packet.fragment = Fragment(
          identification: UInt32(frame.u16(ip + 4)), offset: (word & 0x1fff) * 8, more: word & 0x2000 != 0)
      }
      packet.transport = Array(frame.bytes[(ip + 20)..<end])
    case 0x86dd:
      let end = ip + 40 + frame.u16(ip + 4)
      guard frame.u8(ip) >> 4 == 6, end <= frame.bytes.count else { return nil }
      packet.source = Array(frame.bytes[(ip + 8)..<(ip + 24)])
      packet.destination = Array(frame.bytes[(ip + 24)..<(ip + 40)])
      var next = frame.u8(ip + 6)
      var start = ip + 40
      while next == 0 || next == 60 || next == 44 {
        if next == 44 {
          packet.fragment = Fragment(
            identification: frame.u32(start + 4), offset: frame.u16(start + 2) & ~7, more: frame.u8(start + 3) & 1 == 1)
        } else {
          packet.extensionHeader = next
        }
        next = frame.u8(start)
        start += 8
      }
      guard start <= end else { return nil }
      packet.protocolNumber = next
      packet.transport = Array(frame.bytes[start..<end])
    default:
      break
    }
    return packet
  }
}

/// RFC 1071, one byte at a time.
func onesComplementSum(_ bytes: [UInt8]) -> Int {
  var sum = 0
  for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? Int(byte) << 8 : Int(byte) }
  while sum > 0xffff { sum = (sum & 0xffff) + sum >> 16 }
  return sum
}
