/// Frames that are not IP: they have no flow, and must get through all the same.
enum LinkFrames {
  static let broadcast: UInt64 = 0xffff_ffff_ffff
  static let lldpMulticast: UInt64 = 0x0180_c200_000e

  /// A host asks for its router's MAC address, or the router answers (RFC 826).
  static func arp(
    reply: Bool, hostMAC: UInt64, host: UInt32, routerMAC: UInt64, router: UInt32, into frame: inout FrameBuilder
  ) {
    frame.beginEthernet(
      source: reply ? routerMAC : hostMAC, destination: reply ? hostMAC : broadcast, etherType: 0x0806)
    frame.append(0x0001_0800 as UInt32)  // Ethernet, IPv4
    frame.append(0x0604 as UInt16)  // address lengths in bytes
    frame.append((reply ? 2 : 1) as UInt16)
    frame.append48(reply ? routerMAC : hostMAC)
    frame.append(reply ? router : host)
    frame.append48(reply ? hostMAC : 0)
    frame.append(reply ? host : router)
    frame.finish()
  }

  /// A router's advertisement (IEEE 802.1AB): chassis ID, port ID, time to live, system name.
  static func lldp(routerMAC: UInt64, port: UInt8, into frame: inout FrameBuilder) {
    frame.beginEthernet(source: routerMAC, destination: lldpMulticast, etherType: 0x88cc)
    frame.append(tlv(type: 1, length: 7))
    frame.append(4 as UInt8)  // a MAC address
    frame.append48(routerMAC)
    frame.append(tlv(type: 2, length: 2))
    frame.append(7 as UInt8)  // locally assigned
    frame.append(UInt8(ascii: "0") + port % 10)
    frame.append(tlv(type: 3, length: 2))
    frame.append(120 as UInt16)  // seconds
    frame.append(tlv(type: 5, length: 6))
    frame.append("router")
    frame.append(tlv(type: 0, length: 0))
    frame.finish()
  }

  private static func tlv(type: UInt16, length: UInt16) -> UInt16 { type << 9 | length }
}
