import DEFTWire

/// The flow slots of one stamping unit, and the generation that each will carry next (R16). The slot freed last is given out
/// first: few flows keep to few slots.
///
/// | a slot is | until | then |
/// |---|---|---|
/// | free | `take` | open |
/// | open | `beginClose`: its close marker was stamped | closing |
/// | closing | `free`: the close is committed on both replicas | free, one generation later |
/// | unknown | `resolve`, nobody knows a flow, or its close is committed | free, generations later |
/// | unknown | `resolveLost`: its pair has lost its states, and egress has said which generations it has had | free, generations later |
/// | unknown | `resolve`, a flow is open, or closed and not committed | orphaned |
/// | orphaned | `takeOrphan`: its close marker was stamped, or is to be sent again | closing |
/// | free | `endGeneration`: the pair that has the flow has lost its states | free, one generation later |
/// | open | the same | open, two generations later |
/// | closing, orphaned | the same: nobody can commit the close any more | free, two generations later, or more |
///
/// The lines from unknown to orphaned are a unit's that takes the place of one that failed (`SlotPool+Recovery.swift`): all
/// its slots begin unknown. The last three: `SlotPool+Restart.swift`; an unknown slot stays so.
///
/// Prohibited: open → free (an open generation would be reused), closing → open, unknown → open (the failed unit may have
/// used that generation), orphaned → free. Capacity: `count` slots; `take` returns nil when none is free.
public struct SlotPool: ~Copyable {
  enum State: UInt8 { case free, open, closing, unknown, orphaned }

  let layout: FlowIDLayout
  let unit: Int
  /// Per slot: the flow ID that it has, or will have next.
  let flowIDs: UnsafeMutablePointer<UInt32>
  let states: UnsafeMutablePointer<State>
  private let freeSlots: UnsafeMutablePointer<UInt32>
  private var freeCount: Int
  public let count: Int
  /// Slots from here on have never had a flow: of them nobody knows anything. (Slots are given out densely.)
  private(set) var usedEnd: Int
  public internal(set) var closingCount = 0
  var recovery: SlotRecovery?

  init(unit: Int, layout: FlowIDLayout, count: Int, incarnation: UInt32 = 1, memory: TableMemory) {
    self.layout = layout
    self.unit = unit
    self.count = count
    usedEnd = incarnation == 1 ? 0 : count
    flowIDs = memory(count * 4).bindMemory(to: UInt32.self, capacity: count)
    freeSlots = memory(count * 4).bindMemory(to: UInt32.self, capacity: count)
    states = memory(count).bindMemory(to: State.self, capacity: count)
    let isFirst = incarnation == 1
    for slot in 0..<count {
      flowIDs[slot] = layout.first(unit: unit, slot: slot)
      freeSlots[slot] = UInt32(count - 1 - slot)
      states[slot] = isFirst ? .free : .unknown
    }
    freeCount = isFirst ? count : 0
    if !isFirst { recovery = SlotRecovery(incarnation: incarnation, count: count, memory: memory) }
  }

  /// Slots that are not free.
  public var occupied: Int { count - freeCount }

  /// Flow IDs whose close is not known to be committed; for a new primary, since the dead one may have died before it said so.
  public var closingFlows: [UInt32] {
    guard closingCount > 0 else { return [] }
    return (0..<count).filter { states[$0] == .closing }.map { flowIDs[$0] }
  }

  /// A flow ID for a new flow.
  mutating func take() -> UInt32? {
    guard freeCount > 0 else { return nil }
    freeCount -= 1
    let slot = Int(freeSlots[freeCount])
    states[slot] = .open
    usedEnd = max(usedEnd, slot + 1)
    return flowIDs[slot]
  }

  mutating func beginClose(_ flowID: UInt32) {
    let slot = layout.slot(flowID)
    precondition(flowIDs[slot] == flowID && states[slot] == .open, "a flow is closed once, while it is open")
    states[slot] = .closing
    closingCount += 1
  }

  /// False if nobody waits for the close of `flowID` (a stale or repeated notice).
  mutating func free(_ flowID: UInt32) -> Bool {
    let slot = layout.slot(flowID)
    guard slot < count, states[slot] == .closing, flowIDs[slot] == flowID else { return false }
    closingCount -= 1
    release(slot, next: layout.following(flowID))
    return true
  }

  /// The slot may be used again, for that generation.
  mutating func release(_ slot: Int, next flowID: UInt32) {
    states[slot] = .free
    flowIDs[slot] = flowID
    freeSlots[freeCount] = UInt32(slot)
    freeCount += 1
  }
}
