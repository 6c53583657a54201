/// The two ends of a flow's packets, seen in one direction: everything below the transport header.
struct PacketPath {
  enum Version: UInt8 {
    case ipv4 = 4
    case ipv6 = 6
  }
  enum Tagging: UInt8 {
    case none, vlan, qinq
    /// Bytes of all tags.
    var length: Int { Int(rawValue) * 4 }
  }

  /// An IPv4 address is the lower 32 bits of `low`.
  struct Address {
    var high: UInt64 = 0
    var low: UInt64
  }

  var version: Version
  var tagging: Tagging
  /// VLAN ID of the (inner) 802.1Q tag.
  var vlan: UInt16
  /// VLAN ID of the 802.1ad tag.
  var serviceVLAN: UInt16
  /// 48 bits.
  var sourceMAC: UInt64
  /// 48 bits.
  var destinationMAC: UInt64
  var source: Address
  var destination: Address
  var sourcePort: UInt16
  var destinationPort: UInt16

  var reversed: PacketPath {
    var path = self
    swap(&path.sourceMAC, &path.destinationMAC)
    swap(&path.source, &path.destination)
    swap(&path.sourcePort, &path.destinationPort)
    return path
  }

  /// Bytes of Ethernet header, tags and IP header, without extension headers.
  var headerLength: Int { 14 + tagging.length + (version == .ipv4 ? 20 : 40) }

  /// The pseudo-header's part of a transport checksum (RFC 768, 9293, 8200 §8.1).
  func pseudoHeaderSum(protocolNumber: UInt8, length: Int) -> UInt32 {
    InternetChecksum.sum(source.high) + InternetChecksum.sum(source.low) + InternetChecksum.sum(destination.high)
      + InternetChecksum.sum(destination.low) + UInt32(protocolNumber) + UInt32(length)
  }
}
