import CDPDK
import DEFTCore
import DEFTWire

/// Makes packets of the originals that gap repair brings (R10), as the source and the stamper
/// would have made them.
@usableFromInline
struct RepairedPackets {
  let pool: OpaquePointer

  /// nil while the pool is empty. The frame is parsed anew: it came over a network, and NFs read by the layout unchecked.
  @inline(never)
  @usableFromInline
  func make(_ metadata: PacketMetadata, _ frame: UnsafeRawBufferPointer, _ references: Int) -> Packet? {
    guard frame.count <= Int(UInt16.max), let handle = cd_new_packet(pool, UInt16(frame.count), UInt16(references)) else {
      return nil
    }
    let packet = handle.assumingMemoryBound(to: PacketMetadata.self)
    let bytes = UnsafeMutableRawPointer(mutating: cd_frame(packet).unsafelyUnwrapped)
    if let start = frame.baseAddress, frame.count > 0 { bytes.copyMemory(from: start, byteCount: frame.count) }
    let isCloseMarker = metadata.layout.isCloseMarker
    var key = FlowKey(a: 0, b: 0, c: 0, d: 0, lower: 0, upper: 0, ipProtocol: 0, kind: .runt)
    packet.pointee = metadata
    packet.pointee.layout = FrameParser.parse(bytes, count: frame.count, key: &key)
    packet.pointee.layout.isCloseMarker = isCloseMarker
    return packet
  }
}
