import DEFTWire

/// The flow slots of one stamping unit, and the generation that each will carry next (R16). The slot freed last is given out
/// first: few flows keep to few slots.
///
/// | a slot is | until | then |
/// |---|---|---|
/// | free | `take` | open |
/// | open | `beginClose`: its close marker was stamped | closing |
/// | closing | `free`: the close is committed on both replicas | free, one generation later |
///
/// Prohibited: open → free (an open generation would be reused), closing → open. Capacity: `count` slots; `take` returns nil
/// when none is free.
public struct SlotPool: ~Copyable {
  let layout: FlowIDLayout
  /// Per slot: the flow ID that it has, or will have next.
  private let flowIDs: UnsafeMutablePointer<UInt32>
  private let isClosing: UnsafeMutablePointer<Bool>
  private let freeSlots: UnsafeMutablePointer<UInt32>
  private var freeCount: Int
  public let count: Int
  public private(set) var closingCount = 0

  init(unit: Int, layout: FlowIDLayout, count: Int, memory: TableMemory) {
    self.layout = layout
    self.count = count
    flowIDs = memory(count * 4).bindMemory(to: UInt32.self, capacity: count)
    freeSlots = memory(count * 4).bindMemory(to: UInt32.self, capacity: count)
    isClosing = memory(count).bindMemory(to: Bool.self, capacity: count)
    for slot in 0..<count {
      flowIDs[slot] = layout.first(unit: unit, slot: slot)
      freeSlots[slot] = UInt32(count - 1 - slot)
    }
    freeCount = count
  }

  /// Slots that are open or closing.
  public var occupied: Int { count - freeCount }

  /// Flow IDs whose close is not known to be committed; for a new primary, since the dead one may have died before it said so.
  public var closingFlows: [UInt32] {
    guard closingCount > 0 else { return [] }
    return (0..<count).filter { isClosing[$0] }.map { flowIDs[$0] }
  }

  /// A flow ID for a new flow.
  mutating func take() -> UInt32? {
    guard freeCount > 0 else { return nil }
    freeCount -= 1
    return flowIDs[Int(freeSlots[freeCount])]
  }

  mutating func beginClose(_ flowID: UInt32) {
    let slot = layout.slot(flowID)
    precondition(flowIDs[slot] == flowID && !isClosing[slot], "a flow is closed once, while it is open")
    isClosing[slot] = true
    closingCount += 1
  }

  /// False if nobody waits for the close of `flowID` (a stale or repeated notice).
  mutating func free(_ flowID: UInt32) -> Bool {
    let slot = layout.slot(flowID)
    guard slot < count, isClosing[slot], flowIDs[slot] == flowID else { return false }
    isClosing[slot] = false
    closingCount -= 1
    flowIDs[slot] = layout.following(flowID)
    freeSlots[freeCount] = UInt32(slot)
    freeCount += 1
    return true
  }
}
