/// The canonical key of a flow: both directions of a connection have the same one. 40 bytes.
///
/// | kind | a, b, c, d | e: low 32 bits | flow |
/// |---|---|---|---|
/// | ipv4, ipv6 | the two addresses, lower end first (which is lower: any order, the same both ways) | the two ports, same order (0 without ports) | 5-tuple |
/// | ipv4Fragment, ipv6Fragment | same | 0 | all fragments between two hosts, per protocol |
/// | other | the two MAC addresses | inner EtherType | non-IP, or an IP header that cannot be parsed |
/// | runt | 0 | 0 | frames shorter than an Ethernet header |
///
/// Words of IPv4 are as they stand in the frame (network byte order), those of the others are in host byte order.
///
/// VLAN tags and MPLS labels are not part of the key: the two directions of a connection often differ in them.
@frozen
public struct FlowKey: Equatable, Sendable, BitwiseCopyable {
  public var a: UInt64
  public var b: UInt64
  public var c: UInt64
  public var d: UInt64
  /// ports or EtherType (32 bits) | IP protocol (8 bits) | kind (8 bits)
  public var e: UInt64

  @frozen
  public enum Kind: UInt8, Sendable {
    case ipv4 = 1
    case ipv6, ipv4Fragment, ipv6Fragment, other, runt
  }

  @inlinable @inline(__always)
  public init() { (a, b, c, d, e) = (0, 0, 0, 0, 0) }

  /// The words `a` and `e` of a key of kind `ipv4`: all that it has. For loops that keep many.
  @frozen
  public struct IPv4Words: BitwiseCopyable {
    public var a: UInt64
    public var e: UInt64

    /// Lower end in the low half of both.
    @inlinable @inline(__always)
    public init(addresses: UInt64, ports: UInt32, ipProtocol: UInt32) {
      a = addresses
      e = UInt64(ports) | UInt64(ipProtocol) << 32 | UInt64(Kind.ipv4.rawValue) << 40
    }
    /// As `FlowKey.hash`.
    @inlinable @inline(__always)
    public func hash(seed: UInt64) -> UInt64 {
      FlowKey.finish(FlowKey.fold(a ^ seed, e ^ 0x9E37_79B9_7F4A_7C15), e)
    }
  }

  @inlinable @inline(__always)
  public init(_ words: IPv4Words) { (a, b, c, d, e) = (words.a, 0, 0, 0, words.e) }
  /// The key is this one of kind `ipv4`.
  @inlinable @inline(__always)
  public func equals(_ words: IPv4Words) -> Bool { (a ^ words.a) | (e ^ words.e) == 0 }

  @inlinable @inline(__always)
  public init(a: UInt64, b: UInt64, c: UInt64, d: UInt64, lower: UInt16, upper: UInt16, ipProtocol: UInt8, kind: Kind) {
    self.a = a
    self.b = b
    self.c = c
    self.d = d
    e =
      UInt64(lower) | UInt64(upper) << 16 | UInt64(ipProtocol) << 32
      | UInt64(kind.rawValue) << 40
  }

  @inlinable @inline(__always)
  public static func == (x: FlowKey, y: FlowKey) -> Bool {
    guard _fastPath((x.a ^ y.a) | (x.e ^ y.e) == 0) else { return false }
    // `e` holds the kind, and IPv4 has nothing in the other words.
    return x.isIPv4 || (x.b ^ y.b) | (x.c ^ y.c) | (x.d ^ y.d) == 0
  }

  @inlinable @inline(__always)
  var isIPv4: Bool { UInt8(truncatingIfNeeded: e >> 40) == Kind.ipv4.rawValue }

  /// A 64-bit hash, keyed by `seed` so that nobody outside can choose colliding flows.
  @inlinable @inline(__always)
  public func hash(seed: UInt64) -> UInt64 {
    var h = FlowKey.fold(a ^ seed, e ^ 0x9E37_79B9_7F4A_7C15)
    if !isIPv4 {
      h = FlowKey.fold(h ^ b, c ^ 0xD6E8_FEB8_6659_FD93) ^ FlowKey.fold(d ^ seed, 0xA076_1D64_78BD_642F)
    }
    return FlowKey.finish(h, e)
  }

  /// `e` once more: the first product forgets it when `a` happens to be the seed.
  @inlinable @inline(__always)
  static func finish(_ h: UInt64, _ e: UInt64) -> UInt64 { fold(h ^ e, 0xE703_7ED1_A0B4_28DB) }
  @inlinable @inline(__always)
  static func fold(_ x: UInt64, _ y: UInt64) -> UInt64 {
    let product = x.multipliedFullWidth(by: y)
    return product.high ^ product.low
  }
}
