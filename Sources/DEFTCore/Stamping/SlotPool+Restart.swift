import DEFTWire

// Both replicas of a pair are lost, and with them every flow's order and state. The units know their slots, so they end the
// generations: nothing of an earlier one is taken any more, wherever it still is.
extension SlotPool {
  /// Ends the generation of a slot. Returns its flow ID if there was one to end: of a flow that was open or closing.
  ///
  /// Between the last generation that was used and the next one is always one that never was. It is the *floor*
  /// (`FlowIDLayout.preceding` of the next), in whose name the new primary and egress have the slot as closed: no packet
  /// bears it, so none can be taken for one of a flow that they know.
  mutating func endGeneration(_ slot: Int) -> UInt32? {
    let flowID = flowIDs[slot]
    switch states[slot] {
    case .free:
      flowIDs[slot] = layout.following(flowID)
      return nil
    case .open:
      flowIDs[slot] = layout.skipping(flowID, by: 2)
    case .closing:
      closingCount -= 1
      release(slot, next: layout.skipping(flowID, by: 2))
    case .orphaned:
      // The failed unit may have used generations that nobody knows.
      recovery!.orphanCount -= 1
      release(slot, next: layout.skipping(flowID, by: recovery!.skip))
    case .unknown: return nil
    }
    return flowID
  }

  /// It is not known what the slot has had.
  func isUnknown(_ slot: Int) -> Bool { states[slot] == .unknown }

  /// Everything of the slot up to this flow ID is over. nil: it is not known what the slot has had.
  func floor(_ slot: Int) -> UInt32? {
    guard states[slot] != .unknown else { return nil }
    return layout.preceding(flowIDs[slot])
  }
}
