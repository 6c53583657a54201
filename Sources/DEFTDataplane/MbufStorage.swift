import CDPDK
import DEFTCore
import DEFTWire

/// The core's packets, in mbufs: the metadata block, which holds the stamp, is a dynamic field;
/// the data is the frame as it was received.
public enum MbufStorage: PacketStorage {
  @inlinable @inline(__always)
  public static func view(of packet: Packet) -> PacketView {
    PacketView(
      frame: UnsafeRawPointer(cd_frame(packet).unsafelyUnwrapped),
      length: Int(cd_frame_length(packet)),
      contiguous: Int(cd_frame_contiguous(packet)),
      layout: packet.pointee.layout)
  }
  @inlinable @inline(__always)
  public static func prefetch(_ address: UnsafeRawPointer) { cd_prefetch(address) }
  @inlinable @inline(__always)
  public static func prefetchForWriting(_ address: UnsafeRawPointer) { cd_prefetch_for_writing(address) }

  public static func copyFrame(of packet: Packet, to bytes: UnsafeMutableRawPointer) {
    let view = view(of: packet)
    cd_read_frame(packet, 0, UInt32(view.length), bytes)
  }

  /// Memory for the core's tables; ends the process with one line if the machine has none left.
  public static func tableMemory(_ byteCount: Int) -> UnsafeMutableRawPointer {
    guard let memory = cd_memory_zeroed(UInt64(byteCount)) else {
      preconditionFailure("no memory for a table of \(byteCount) bytes; use smaller --flows or --buffer")
    }
    return memory
  }
}

/// Arrays of packet handles as the C calls want them.
@inlinable @inline(__always)
func handles(_ packets: UnsafeMutablePointer<Packet>) -> UnsafeMutablePointer<UnsafeMutableRawPointer?> {
  UnsafeMutableRawPointer(packets).assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
}
