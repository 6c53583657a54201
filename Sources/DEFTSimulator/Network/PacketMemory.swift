import DEFTCore
import DEFTWire

/// Who holds references to a packet. 0: paths, rings and egress; n + 1: node n.
typealias Holder = Int

/// A packet of the simulator: its metadata, who holds how many references to it, and its frame. A packet is named by the
/// address of its metadata, which comes first.
struct SimulatedPacket {
  static let frameBytes = 64
  var metadata: PacketMetadata
  /// References by holder, a byte each.
  var references: UInt64
  /// Counts looks at packets that nobody holds; shared by all packets of a run.
  var lateUses: UnsafeMutablePointer<UInt64>
  var frame: UnsafeMutableRawPointer

  static func of(_ packet: Packet) -> UnsafeMutablePointer<SimulatedPacket> {
    UnsafeMutableRawPointer(packet).assumingMemoryBound(to: SimulatedPacket.self)
  }
}

/// The core's way to a packet's bytes.
enum SimulatedStorage: PacketStorage {
  static func view(of packet: Packet) -> PacketView {
    let block = SimulatedPacket.of(packet)
    if block.pointee.references == 0 { block.pointee.lateUses.pointee &+= 1 }
    return PacketView(
      frame: block.pointee.frame, length: SimulatedPacket.frameBytes, contiguous: SimulatedPacket.frameBytes,
      layout: packet.pointee.layout)
  }
  static func prefetch(_ address: UnsafeRawPointer) {}
}

/// A run's packets. References are counted by holder, so that a node that crashes loses just its own. A packet that nobody
/// holds is overwritten, and its memory not used again in the run: a later use shows.
final class PacketMemory {
  static let poison: UInt32 = 0xdead_dead
  private let arena: SimulationArena
  private let lateUses: UnsafeMutablePointer<UInt64>
  private(set) var blocks: [Packet] = []
  private(set) var live = 0
  private(set) var peak = 0

  init(_ arena: SimulationArena) {
    self.arena = arena
    lateUses = arena.allocate(8, alignment: 8).bindMemory(to: UInt64.self, capacity: 1)
  }

  var usesAfterFree: UInt64 { lateUses.pointee }

  /// A packet with `references` of holder 0.
  func make(_ metadata: PacketMetadata, frame: UnsafeMutableRawPointer, references: Int) -> Packet {
    let block = arena.allocate(MemoryLayout<SimulatedPacket>.stride, alignment: 64)
      .bindMemory(to: SimulatedPacket.self, capacity: 1)
    block.initialize(
      to: SimulatedPacket(
        metadata: metadata, references: UInt64(references), lateUses: lateUses, frame: frame))
    let packet = UnsafeMutableRawPointer(block).assumingMemoryBound(to: PacketMetadata.self)
    blocks.append(packet)
    live += 1
    peak = max(peak, live)
    return packet
  }

  /// False: `holder` has fewer references than it gives up.
  func giveBack(_ packet: Packet, _ holder: Holder, _ count: Int = 1) -> Bool {
    let block = SimulatedPacket.of(packet)
    guard references(packet, holder) >= count else { return false }
    block.pointee.references &-= UInt64(count) << UInt64(8 * holder)
    if block.pointee.references == 0 {
      live -= 1
      block.pointee.metadata = PacketMetadata(
        time: .max, flowID: PacketMemory.poison, counter: PacketMemory.poison, layout: .opaque)
    }
    return true
  }

  func move(_ packet: Packet, from: Holder, to: Holder, _ count: Int) -> Bool {
    guard references(packet, from) >= count else { return false }
    SimulatedPacket.of(packet).pointee.references &-= UInt64(count) << UInt64(8 * from)
    SimulatedPacket.of(packet).pointee.references &+= UInt64(count) << UInt64(8 * to)
    return true
  }

  func references(_ packet: Packet, _ holder: Holder) -> Int {
    Int(SimulatedPacket.of(packet).pointee.references >> UInt64(8 * holder) & 0xff)
  }

  func add(_ packet: Packet, _ holder: Holder, _ count: Int) {
    SimulatedPacket.of(packet).pointee.references &+= UInt64(count) << UInt64(8 * holder)
  }

  /// The first few packets that somebody holds, and who, for a report.
  var heldText: String {
    blocks.lazy.filter { SimulatedPacket.of($0).pointee.references != 0 }.prefix(4).map { packet in
      let holders = (0..<8).compactMap { holder -> String? in
        let count = self.references(packet, holder)
        return count == 0 ? nil : "\(count) at " + (holder == 0 ? "paths" : "n\(holder - 1)")
      }
      return "(\(packet.pointee.flowID), \(packet.pointee.counter)) \(holders.joined(separator: " "))"
    }.joined(separator: ", ")
  }

  /// All references of a node that is no more.
  func giveBackAll(of holder: Holder) {
    for packet in blocks {
      let count = references(packet, holder)
      if count > 0 { _ = giveBack(packet, holder, count) }
    }
  }
}
