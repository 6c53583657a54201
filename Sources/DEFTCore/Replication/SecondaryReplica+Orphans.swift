import DEFTWire

// As `PrimaryReplica+Orphans.swift`. The secondary may hold packets that the primary has never seen.
extension SecondaryReplica {
  /// As `PrimaryReplica.mayReport`.
  public func mayReport(_ inquiry: GroupInquiry, group: Int) -> Bool {
    configuration.epoch == inquiry.epoch && gate.mayReport(group, version: inquiry.version)
  }

  /// Copies, of whatever group; to be reported before the slots.
  public func reportWaiting(unit: Int, _ body: (SlotReport) -> Void) {
    func report(_ packet: Packet) {
      if flows.layout.unit(packet.pointee.flowID) == unit { body(SlotReport(packet)) }
    }
    forEachCopy(report)
    for index in 0..<repair.repairedCount { report(repair.repaired[index]) }
    gate.forEachPlausible(flows, report)
  }

  /// What state clocks and votes have said of the unit's slots `slots`, those of the group.
  public func reportSlots(unit: Int, _ slots: Range<Int>, group: Int, _ body: (SlotReport) -> Void) {
    for slot in slots {
      let flow = flows.entry(flows.layout.first(unit: unit, slot: slot))
      guard flow.pointee.flowID != 0, gate.group(flow.pointee.flowID) == group else { continue }
      body(SlotReport(flowID: flow.pointee.flowID, end: flow.pointee.next, isEnded: flow.pointee.isClosed))
    }
  }
}
