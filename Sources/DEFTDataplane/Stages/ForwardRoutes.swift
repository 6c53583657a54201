import CDPDK
import DEFTCore

/// Where a former owner of flow groups sends their packets (R8): to both replicas of the owner that the map names, past the
/// stampers. Owned by one stage and changed only on its lcore; made only where migrations are planned.
@usableFromInline
struct ForwardRoutes: ~Copyable {
  static let burst = 32
  let groupMask: Int
  let layout: FlowIDLayout
  /// Group → pair; set by whoever makes the routes (`Pipeline.setRoutes`).
  let owners: UnsafeMutablePointer<UInt16>
  /// By pair; nil: there is no way, or nobody.
  let toPrimaries: UnsafeMutablePointer<OpaquePointer?>
  let toSecondaries: UnsafeMutablePointer<OpaquePointer?>
  let pairCount: Int
  private let packets: UnsafeMutablePointer<Packet>
  private let isShared: Bool

  init(layout: FlowIDLayout, pairCount: Int, isShared: Bool) {
    self.layout = layout
    self.pairCount = pairCount
    self.isShared = isShared
    groupMask = Switch.groupCount - 1
    owners = .allocate(capacity: Switch.groupCount)
    owners.initialize(repeating: 0, count: Switch.groupCount)
    toPrimaries = .allocate(capacity: pairCount)
    toPrimaries.initialize(repeating: nil, count: pairCount)
    toSecondaries = .allocate(capacity: pairCount)
    toSecondaries.initialize(repeating: nil, count: pairCount)
    packets = .allocate(capacity: ForwardRoutes.burst)
  }

  /// What every way has room for: a packet that was taken out has to go.
  private var room: Int {
    var room = ForwardRoutes.burst
    for pair in 0..<pairCount {
      if let ring = toPrimaries[pair] { room = min(room, Int(cd_ring_free_count(ring))) }
      if let ring = toSecondaries[pair] { room = min(room, Int(cd_ring_free_count(ring))) }
    }
    return room
  }

  /// - Parameters:
  ///   - references: how many each packet comes with; a primary wants two, a secondary one.
  ///   - take: hands out up to so many packets of groups that are another pair's.
  /// - Returns: how many packets were sent on.
  func forward(references: Int, take: (UnsafeMutablePointer<Packet>, Int) -> Int) -> Int {
    let count = take(packets, room)
    for index in 0..<count {
      let pair = Int(owners[layout.index(packets[index].pointee.flowID) & groupMask])
      let packet = handles(packets + index)
      let (primary, secondary) = (toPrimaries[pair], toSecondaries[pair])
      let wanted = (primary == nil ? 0 : 2) + (secondary == nil ? 0 : 1)
      // All that it will have is added before anybody gets it.
      for _ in references..<max(references, wanted) { cd_retain(packet, 1, isShared) }
      if let primary { _ = cd_ring_enqueue(primary, packet, 1) }
      if let secondary { _ = cd_ring_enqueue(secondary, packet, 1) }
      if wanted < references { cd_release(packet, 1, UInt16(references - wanted), isShared) }
    }
    return count
  }
}
