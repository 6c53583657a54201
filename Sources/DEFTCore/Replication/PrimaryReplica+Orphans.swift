import DEFTWire

// What a primary tells a stamping unit that takes the place of one that failed. Once per failure; a piece at a time.
//
// Before it, the shell takes what has come from the unit's earlier incarnations, and from then on drops and counts what still
// comes of them: each unit has an input of its own, so that is asked per burst and costs a packet nothing.
extension PrimaryReplica where Log: ~Copyable {
  /// It is the one that the unit has to ask about the group, and knows the map's entry by which it is asked. Not before it has
  /// begun, if both replicas were lost: what it has may be lost again, and generations beyond are used only if egress knows it.
  public func mayReport(_ inquiry: GroupInquiry, group: Int) -> Bool {
    guard !isSteppedDown, !isRestarting else { return false }
    return configuration.epoch == inquiry.epoch && gate.mayReport(group, version: inquiry.version)
  }

  /// Packets that wait somewhere, of whatever group; to be reported before the slots.
  public func reportWaiting(unit: Int, _ body: (SlotReport) -> Void) {
    func report(_ packet: Packet) {
      if flows.layout.unit(packet.pointee.flowID) == unit { body(SlotReport(packet)) }
    }
    forEachOrdered(report)
    gate.forEachPlausible(flows, report)
  }

  /// Every packet that is here and not in the output buffer.
  public func forEachWaiting(_ body: (Packet) -> Void) {
    forEachOrdered(body)
    gate.forEach(body)
  }

  /// As `forEachWaiting`, but not what is kept for a group's sake.
  private func forEachOrdered(_ body: (Packet) -> Void) {
    if pending.count > 0 {
      for node in 1...pending.usedNodes { if let packet = pending.packet(at: node) { body(packet) } }
    }
    for index in 0..<repair.repairedCount { body(repair.repaired[index]) }
    backlog.forEach(body)
  }

  /// Of the unit's slots `slots`, those of the group.
  public func reportSlots(unit: Int, _ slots: Range<Int>, group: Int, _ body: (SlotReport) -> Void) {
    for slot in slots {
      let flow = flows.entry(flows.layout.first(unit: unit, slot: slot))
      guard flow.pointee.flowID != 0, gate.group(flow.pointee.flowID) == group else { continue }
      body(
        SlotReport(
          flowID: flow.pointee.flowID, end: flow.pointee.next, isEnded: flow.pointee.isClosed,
          isCommitted: isCloseCommitted(flow.pointee.flowID)))
    }
  }
}
