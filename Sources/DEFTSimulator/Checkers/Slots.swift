import DEFTCore

// R16: a slot's next generation begins only after the last one's close is out, and applied by the secondary.
extension Simulation {
  func checkSlotReturned(_ flowID: UInt32) {
    guard let flow = flow(flowID) else { return fail(.slots, "the slot of flow \(flowID) returns, which was never stamped") }
    let last = flow.next - 1
    // Without a secondary in sync there is nobody who has to have applied it.
    let isApplied = flow.appliedNext == flow.next || map[flow.pair].epoch > 1
    require(flow.isClosing && flow.out == last && isApplied, .slots) {
      "the slot of flow \(flowID) returns: \(flow.out) of \(last) are out, \(flow.appliedNext) is applied"
    }
  }

  func checkNewFlow(_ flow: FlowHistory) {
    guard let before = allFlows[layout.index(flow.flowID)].last else { return }
    occurrences.note(.slotReused)
    let isFree = before.endedIn != nil || (before.isClosing && before.out == before.next - 1)
    require(isFree && layout.isLater(flow.flowID, than: before.flowID), .slots) {
      "flow \(flow.flowID) begins, and \(before.flowID) has not ended"
    }
  }
}
