import CDPDK
import DEFTCore
import Synchronization

/// The way from the switch to one replica: a ring, and on request the faults of a real fabric, seeded: packets within a
/// block of `reorder` are shuffled, and each is doubled with probability `duplicate`.
///
/// Capacity: the ring's, less while packets wait for their turn at the replica, so that its pendingList does not run over
/// (R17); the switch sends only what `credit` allows, so nothing is lost here.
struct FabricPath: ~Copyable {
  let ring: OpaquePointer
  /// References that a packet carries on this path (a double carries as many).
  let references: UInt16
  /// Packets that wait for their turn at the replica: it has room for `pendingLimit`, and what lies in the ring may have to
  /// wait, too.
  private let waiting: UnsafeMutablePointer<Atomic<UInt64>>
  private let pendingLimit: Int
  private let reorder: Int
  private let duplicateThreshold: UInt64
  private let pool: OpaquePointer
  private var random: UInt64
  private let block: UnsafeMutablePointer<Packet>
  private var blockCount = 0
  private(set) var duplicated: UInt64 = 0
  let isFaulty: Bool

  init(
    ring: OpaquePointer, references: UInt16, waiting: UnsafeMutablePointer<Atomic<UInt64>>, pendingLimit: Int, reorder: Int,
    duplicate: Double, seed: UInt64, pool: OpaquePointer
  ) {
    self.ring = ring
    self.references = references
    self.waiting = waiting
    self.pendingLimit = pendingLimit
    self.reorder = reorder
    duplicateThreshold = SplitMix64.threshold(duplicate)
    self.pool = pool
    random = seed
    block = .allocate(capacity: 2 * (reorder + StamperStage.burst))
    isFaulty = reorder > 0 || duplicate > 0
  }

  /// Packets that may be sent now.
  @inline(__always)
  var credit: Int {
    var free = Int(cd_ring_free_count(ring))
    let waiting = Int(truncatingIfNeeded: waiting.pointee.load(ordering: .relaxed))
    if _slowPath(waiting > 0) { free = max(0, min(free, pendingLimit - waiting - Int(cd_ring_count(ring)))) }
    return isFaulty ? max(0, (free - blockCount) / 2 - reorder) : free
  }
  /// Packets in the ring. The block being shuffled is not counted: one longer than a backlog limit could never fill.
  @inline(__always)
  var backlog: Int { Int(cd_ring_count(ring)) }

  @inline(__always)
  mutating func send(_ packets: UnsafeMutablePointer<Packet>, count: Int) {
    if _fastPath(!isFaulty) {
      let sent = cd_ring_enqueue(ring, handles(packets), UInt32(count))
      precondition(Int(sent) == count, "the switch sent more than its credit")
    } else {
      sendFaulty(packets, count: count)
    }
  }

  @inline(never)
  private mutating func sendFaulty(_ packets: UnsafeMutablePointer<Packet>, count: Int) {
    for i in 0..<count {
      block[blockCount] = packets[i]
      blockCount += 1
      if duplicateThreshold > 0, next() < duplicateThreshold,
        let copy = cd_copy(packets[i], pool, references)
      {
        block[blockCount] = copy.assumingMemoryBound(to: PacketMetadata.self)
        blockCount += 1
        duplicated &+= 1
      }
      if blockCount >= reorder { flush() }
    }
  }

  var isFlushed: Bool { blockCount == 0 }

  /// Lets everything go that is being shuffled; called when the input runs dry.
  mutating func flush() {
    guard blockCount > 0 else { return }
    if reorder > 1 {
      var i = blockCount - 1
      while i > 0 {
        let j = Int(next() % UInt64(i + 1))
        let packet = block[i]
        block[i] = block[j]
        block[j] = packet
        i -= 1
      }
    }
    let sent = cd_ring_enqueue(ring, handles(block), UInt32(blockCount))
    precondition(Int(sent) == blockCount, "the switch sent more than its credit")
    blockCount = 0
  }

  private mutating func next() -> UInt64 {
    defer { random &+= SplitMix64.increment }
    return SplitMix64.output(after: random)
  }
}
