import CDPDK
import COrderingTwin
import DEFTCore
import DEFTDataplane
import DEFTWire

/// Packets that look like mbufs to whoever reads them: header, metadata block and frame lie where DPDK puts them, one
/// buffer after the other as in a pool. Both workers get the same ones.
struct PacketMemory {
  /// Two header lines, headroom, 2 KiB of data and the pool's own line: an odd number of lines, as the pool makes it.
  private static let stride = 37 * 64
  private static let headroom = 128
  static let frameBytes = 60

  let packets: UnsafeMutablePointer<Packet>
  let count: Int

  init(count: Int) {
    self.count = count
    let memory = MbufStorage.tableMemory(count * Self.stride)
    packets = .allocate(capacity: count)
    for index in 0..<count {
      let mbuf = memory + index * Self.stride
      let buffer = mbuf + 128
      mbuf.storeBytes(of: buffer, toByteOffset: Int(CD_MBUF_BUF_ADDR), as: UnsafeMutableRawPointer.self)
      mbuf.storeBytes(of: UInt16(Self.headroom), toByteOffset: Int(CD_MBUF_DATA_OFF), as: UInt16.self)
      let length = Self.frameBytes
      mbuf.storeBytes(of: UInt32(length), toByteOffset: Int(CD_MBUF_PKT_LEN), as: UInt32.self)
      mbuf.storeBytes(of: UInt16(length), toByteOffset: Int(CD_MBUF_DATA_LEN), as: UInt16.self)
      packets[index] = (mbuf + Int(CD_MBUF_METADATA_OFFSET)).bindMemory(to: PacketMetadata.self, capacity: 1)
    }
  }

  /// TCP over IPv4 without options behind an Ethernet header.
  static let layout = FrameLayout(
    network: 14, version: 1, transport: .tcp, transportDelta: 20, fragment: false, sourceIsLower: true)
  static let tcpFlagsOffset = 14 + 20 + 13
}

/// The memory of a worker's tables: both workers take the same pieces in the same order, so that a table stands at the
/// same address, on the same pages, in both.
struct Arena {
  private let base: UnsafeMutableRawPointer
  private let size: Int
  /// Reset by `empty`; handed to the C worker as it is.
  let shared: UnsafeMutablePointer<ot_arena>

  init(size: Int) {
    self.size = size
    base = MbufStorage.tableMemory(size)
    shared = .allocate(capacity: 1)
    shared.initialize(to: ot_arena(base: base.assumingMemoryBound(to: UInt8.self), size: size, used: 0))
  }

  /// Zeroes what was used.
  func empty() {
    base.initializeMemory(as: UInt8.self, repeating: 0, count: shared.pointee.used)
    shared.pointee.used = 0
  }

  var tableMemory: TableMemory {
    { [shared] byteCount in
      guard let memory = ot_arena_take(shared, byteCount) else { preconditionFailure("the arena is too small") }
      return memory
    }
  }
}
