/// Where the headers of one Ethernet frame are: the whole result of parsing it, in 32 bits, so that it travels in the
/// packet's metadata and no stage parses twice. Offsets are from the frame's first byte.
///
/// ```
///  31    28 27 26 25 24 23   21 20 19 18 17          8 7           0
/// +--------+--+--+--+--+-------+--+-----+-------------+-------------+
/// | unused |Lo|..|Dr|Cl|  L4   |Fr| IP  | L4 − L3     |  L3 offset  |
/// +--------+--+--+--+--+-------+--+-----+-------------+-------------+
/// ```
/// Lo: the source is the lower end of the canonical flow key. Dr, Cl belong to the protocol core (dropped by the NF,
/// close marker).
@frozen
public struct FrameLayout: RawRepresentable, Equatable, Sendable, BitwiseCopyable {
  public var rawValue: UInt32
  @inlinable @inline(__always)
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The transport header that is completely present, if any.
  @frozen
  public enum Transport: UInt8, Sendable {
    case none = 0
    /// 20 bytes or more.
    case tcp
    /// 8 bytes.
    case udp
    /// ICMP or ICMPv6, 4 bytes or more.
    case icmp
    /// 12 bytes.
    case sctp
    /// Another protocol over IP; nothing is known about its header.
    case other
  }

  @inlinable @inline(__always)
  public init(
    network: Int, version: UInt32, transport: Transport, transportDelta: Int, fragment: Bool, sourceIsLower: Bool
  ) {
    rawValue =
      UInt32(truncatingIfNeeded: network) | UInt32(truncatingIfNeeded: transportDelta) << 8 | version << 18
      | (fragment ? 1 << 20 : 0) | UInt32(transport.rawValue) << 21 | (sourceIsLower ? FrameLayout.lower : 0)
  }

  /// Untagged IPv4 without options, UDP; and what makes it TCP when subtracted.
  @inlinable @inline(__always)
  static var plainUDP: FrameLayout {
    FrameLayout(
      network: 14, version: 1, transport: .udp, transportDelta: 20, fragment: false, sourceIsLower: false)
  }
  @inlinable @inline(__always)
  static var fromUDPToTCP: UInt32 { UInt32(Transport.udp.rawValue - Transport.tcp.rawValue) << 21 }
  @inlinable @inline(__always)
  static var lower: UInt32 { 1 << 27 }

  /// A frame without an IP header that could be parsed.
  @inlinable @inline(__always)
  public static var opaque: FrameLayout { FrameLayout(rawValue: 0) }

  /// Offset of the IP header; 0 if there is none.
  @inlinable @inline(__always)
  public var networkOffset: Int { Int(rawValue & 0xff) }
  /// Offset of the transport header; meaningful unless `transport` is `.none`.
  @inlinable @inline(__always)
  public var transportOffset: Int { networkOffset + Int(rawValue >> 8 & 0x3ff) }
  @inlinable @inline(__always)
  public var isIPv4: Bool { rawValue >> 18 & 3 == 1 }
  @inlinable @inline(__always)
  public var isIPv6: Bool { rawValue >> 18 & 3 == 2 }
  /// A fragment, first ones included: transport headers of fragments are not looked at.
  @inlinable @inline(__always)
  public var isFragment: Bool { rawValue & 1 << 20 != 0 }
  @inlinable @inline(__always)
  public var transport: Transport {
    Transport(rawValue: UInt8(truncatingIfNeeded: rawValue >> 21 & 7)).unsafelyUnwrapped
  }
  @inlinable @inline(__always)
  public var sourceIsLower: Bool { rawValue & FrameLayout.lower != 0 }

  /// Set by the protocol core on the stamper's in-band end of a flow (R16).
  @inlinable @inline(__always)
  public var isCloseMarker: Bool {
    get { rawValue & 1 << 24 != 0 }
    set { rawValue = newValue ? rawValue | 1 << 24 : rawValue & ~(1 << 24) }
  }
  /// Set by the protocol core on a packet that the NF did not pass.
  @inlinable @inline(__always)
  public var isDropped: Bool {
    get { rawValue & 1 << 25 != 0 }
    set { rawValue = newValue ? rawValue | 1 << 25 : rawValue & ~(1 << 25) }
  }
}
