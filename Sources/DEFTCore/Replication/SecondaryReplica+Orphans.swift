import DEFTWire

// As `PrimaryReplica+Orphans.swift`. The secondary may hold packets that the primary has never seen.
extension SecondaryReplica {
  /// Copies; to be reported before the slots.
  public func reportWaiting(unit: Int, _ body: (SlotReport) -> Void) {
    func report(_ packet: Packet) {
      if flows.layout.unit(packet.pointee.flowID) == unit { body(SlotReport(packet)) }
    }
    for index in 0..<repair.repairedCount { report(repair.repaired[index]) }
    forEachHeld(report)
    gate.forEach(report)
  }

  /// What state clocks and votes have said of the unit's slots `slots`.
  public func reportSlots(unit: Int, _ slots: Range<Int>, _ body: (SlotReport) -> Void) {
    for slot in slots {
      let flow = flows.entry(flows.layout.first(unit: unit, slot: slot))
      guard flow.pointee.flowID != 0 else { continue }
      body(SlotReport(flowID: flow.pointee.flowID, end: flow.pointee.next, isEnded: flow.pointee.isClosed))
    }
  }
}
