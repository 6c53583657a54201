/// The stamp (paper, IV-A) as an NSH MD-type-1 header (RFC 8300) in front of the whole original frame:
///
/// ```
/// 0                   6                  12    14
/// | destination MAC   | source MAC       |0x894F|
/// |Ver|O|U|   TTL     |   Length  |U|U|U|U|MD=1 | Next protocol |   14
/// |          Service path identifier (24)       | Service index |   18
/// |          C1: flow ID                                        |   22
/// |          C2: packet counter                                 |   26
/// |          C3 ‖ C4: stamp time, ns since 1970                 |   30
/// 38: the original frame (next protocol 3), or nothing (next protocol 0, "none": a close marker, RFC 8393)
/// ```
@frozen
public struct Stamp: Equatable, Sendable, BitwiseCopyable {
  /// Names the NF group; 24 bits.
  public var servicePath: UInt32
  /// Functions left on the path, counting down.
  public var serviceIndex: UInt8
  public var flowID: UInt32
  /// Serial-number arithmetic; a flow's first packet has `firstCounter`.
  public var counter: UInt32
  /// ns since 1970.
  public var time: UInt64
  /// The in-band end of a flow generation; there is no frame behind the stamp.
  public var isCloseMarker: Bool

  /// Bytes in front of the original frame.
  public static let byteCount = 38
  public static let etherType: UInt16 = 0x894f
  /// R16: counters start at a fixed value, never "first seen". 0 stands for "none before".
  public static let firstCounter: UInt32 = 1

  @inlinable
  public init(
    servicePath: UInt32, serviceIndex: UInt8, flowID: UInt32, counter: UInt32, time: UInt64, isCloseMarker: Bool = false
  ) {
    self.servicePath = servicePath
    self.serviceIndex = serviceIndex
    self.flowID = flowID
    self.counter = counter
    self.time = time
    self.isCloseMarker = isCloseMarker
  }

  /// Writes the 38 bytes at `room`.
  @inlinable @inline(__always)
  public func write(to room: UnsafeMutableRawPointer) {
    // Locally administered addresses: the stamp never leaves the fabric.
    room.storeBigEndian(UInt64(0x02de_f700_0002_02de), at: 0)
    room.storeBigEndian(UInt64(0xf700_0001_894f_0fc6), at: 8)  // …, EtherType, version 0, TTL 63, length 6 words
    room.storeBigEndian(isCloseMarker ? UInt16(0x0100) : UInt16(0x0103), at: 16)
    room.storeBigEndian(servicePath << 8 | UInt32(serviceIndex), at: 18)
    room.storeBigEndian(UInt64(flowID) << 32 | UInt64(counter), at: 22)
    room.storeBigEndian(time, at: 30)
  }

  /// Reads a stamp; nil if the bytes are not an MD-type-1 header as this system writes it.
  @inlinable
  public init?(_ bytes: UnsafeRawPointer, count: Int) {
    guard count >= Stamp.byteCount, bytes.bigEndian16(12) == Stamp.etherType else { return nil }
    let base = bytes.bigEndian32(14)
    // Version 0, not OAM; length 6 words; MD type 1; next protocol Ethernet or none.
    guard base >> 30 == 0, base & 0x2000_0000 == 0, base >> 16 & 0x3f == 6, base >> 8 & 0xf == 1 else { return nil }
    let next = base & 0xff
    guard next == 3 || next == 0 else { return nil }
    let path = bytes.bigEndian32(18)
    self.init(
      servicePath: path >> 8, serviceIndex: UInt8(truncatingIfNeeded: path), flowID: bytes.bigEndian32(22),
      counter: bytes.bigEndian32(26), time: bytes.bigEndian64(30), isCloseMarker: next == 0)
  }
}
