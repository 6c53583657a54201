/// What an NF sees of a packet: its original Ethernet frame, read-only, with the headers already found. Valid only
/// during the call it is handed to. Accessors do not check: ask `layout` which headers are there.
@frozen
public struct PacketView: BitwiseCopyable {
  /// The frame's first byte.
  public let frame: UnsafeRawPointer
  /// Bytes of the whole frame.
  public let length: Int
  /// Bytes readable at `frame`; less than `length` when the packet is a chain of buffers. All headers that `layout`
  /// names lie within.
  public let contiguous: Int
  public let layout: FrameLayout

  @inlinable @inline(__always)
  public init(frame: UnsafeRawPointer, length: Int, contiguous: Int, layout: FrameLayout) {
    self.frame = frame
    self.length = length
    self.contiguous = contiguous
    self.layout = layout
  }

  /// RFC 9293 flag bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128. 0 if the packet is not TCP.
  @inlinable @inline(__always)
  public var tcpFlags: UInt8 { layout.transport == .tcp ? frame.byte(layout.transportOffset + 13) : 0 }
  /// Source and destination port; of TCP, UDP and SCTP only.
  @inlinable @inline(__always)
  public var sourcePort: UInt16 { frame.bigEndian16(layout.transportOffset) }
  @inlinable @inline(__always)
  public var destinationPort: UInt16 { frame.bigEndian16(layout.transportOffset + 2) }
  /// IPv4 addresses in host byte order; only if `layout.isIPv4`.
  @inlinable @inline(__always)
  public var sourceIPv4: UInt32 { frame.bigEndian32(layout.networkOffset + 12) }
  @inlinable @inline(__always)
  public var destinationIPv4: UInt32 { frame.bigEndian32(layout.networkOffset + 16) }
  /// IPv6 addresses as (high, low) in host byte order; only if `layout.isIPv6`.
  @inlinable @inline(__always)
  public var sourceIPv6: (UInt64, UInt64) {
    (frame.bigEndian64(layout.networkOffset + 8), frame.bigEndian64(layout.networkOffset + 16))
  }
  @inlinable @inline(__always)
  public var destinationIPv6: (UInt64, UInt64) {
    (frame.bigEndian64(layout.networkOffset + 24), frame.bigEndian64(layout.networkOffset + 32))
  }
}
