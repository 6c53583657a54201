import DEFTCore
import DEFTWire

/// One packet in plain memory: its metadata, how many references are out, and its frame.
struct TestPacket {
  var metadata: PacketMetadata
  var references: Int
  var content: (UInt64, UInt64)

  static func of(_ packet: Packet) -> UnsafeMutablePointer<TestPacket> {
    UnsafeMutableRawPointer(packet).assumingMemoryBound(to: TestPacket.self)
  }
}

/// The core's way to a test packet's bytes.
enum PlainStorage: PacketStorage {
  static func view(of packet: Packet) -> PacketView {
    let block = TestPacket.of(packet)
    precondition(block.pointee.references > 0, "a packet is looked at that nobody holds")
    let frame = UnsafeRawPointer(block) + MemoryLayout<TestPacket>.offset(of: \.content)!
    return PacketView(frame: frame, length: 16, contiguous: 16, layout: packet.pointee.layout)
  }
  static func prefetch(_ address: UnsafeRawPointer) {}
}

/// Allocates packets and counts their references as the mbufs' counters do. A packet that nobody holds is overwritten,
/// and its memory kept to the end, so that a use after that shows.
final class PacketBank {
  private var blocks: [UnsafeMutablePointer<TestPacket>] = []
  private(set) var live = 0

  deinit { for block in blocks { block.deallocate() } }

  func make(_ metadata: PacketMetadata, content: (UInt64, UInt64), references: Int) -> Packet {
    let block = UnsafeMutablePointer<TestPacket>.allocate(capacity: 1)
    block.initialize(to: TestPacket(metadata: metadata, references: references, content: content))
    blocks.append(block)
    live += 1
    return UnsafeMutableRawPointer(block).assumingMemoryBound(to: PacketMetadata.self)
  }

  /// A packet of the same bytes with references of its own.
  func copy(_ packet: Packet, references: Int) -> Packet {
    make(packet.pointee, content: TestPacket.of(packet).pointee.content, references: references)
  }

  func addReference(_ packet: Packet) {
    precondition(TestPacket.of(packet).pointee.references > 0, "a reference to a packet that is gone")
    TestPacket.of(packet).pointee.references += 1
  }

  /// False: more references are given back than there were.
  func giveBack(_ packet: Packet, _ references: Int) -> Bool {
    let block = TestPacket.of(packet)
    guard block.pointee.references >= references else { return false }
    block.pointee.references -= references
    if block.pointee.references == 0 {
      live -= 1
      block.pointee.metadata = PacketMetadata(time: .max, flowID: 0xdead_dead, counter: 0xdead_dead, layout: .opaque)
    }
    return true
  }
}

/// Zeroed memory for tables, freed together.
final class TableArena {
  private var blocks: [UnsafeMutableRawPointer] = []
  deinit { for block in blocks { block.deallocate() } }

  func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer {
    let block = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 64)
    block.initializeMemory(as: UInt8.self, repeating: 0, count: max(byteCount, 1))
    blocks.append(block)
    return block
  }
}
