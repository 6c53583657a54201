import DEFTWire

// What a primary tells a stamping unit that takes the place of one that failed. Once per failure; a piece at a time.
//
// Before it, the shell takes what has come from the unit's earlier incarnations, and from then on drops and counts what still
// comes of them: each unit has an input of its own, so that is asked per burst and costs a packet nothing.
extension PrimaryReplica where Log: ~Copyable {
  /// Packets that wait somewhere; to be reported before the slots.
  public func reportWaiting(unit: Int, _ body: (SlotReport) -> Void) {
    forEachWaiting { packet in
      if flows.layout.unit(packet.pointee.flowID) == unit { body(SlotReport(packet)) }
    }
  }

  /// Every packet that is here and not in the output buffer.
  func forEachWaiting(_ body: (Packet) -> Void) {
    if pending.count > 0 {
      for node in 1...pending.usedNodes { if let packet = pending.packet(at: node) { body(packet) } }
    }
    for index in 0..<repair.repairedCount { body(repair.repaired[index]) }
    backlog.forEach(body)
    gate.forEach(body)
  }

  /// The slots `slots` of the unit.
  public func reportSlots(unit: Int, _ slots: Range<Int>, _ body: (SlotReport) -> Void) {
    for slot in slots {
      let flow = flows.entry(flows.layout.first(unit: unit, slot: slot))
      guard flow.pointee.flowID != 0 else { continue }
      body(
        SlotReport(
          flowID: flow.pointee.flowID, end: flow.pointee.next, isEnded: flow.pointee.isClosed,
          isCommitted: isCloseCommitted(flow.pointee.flowID)))
    }
  }
}
