import DEFTCore

// Both replicas of a pair are lost: that is said only when it is so, the flows' generations end, and nothing of them is taken,
// or let out, by those that begin after it. What had left before stays in order, each once; the rest may be missing.
extension Simulation {
  /// The map has given up the pair's states.
  func noteLoss(_ pair: Int, _ before: PairAssignment) {
    if before.standing == .syncing { occurrences.note(.restartedWhileSyncing) }
    let former = nodes[Int(before.primary.rawValue)].roles[pair].actor
    require(before.standing != .inSync && (former == nil || former!.isGone), .lostStates) {
      "pair \(pair) \(before.text) is given up, and its primary lives"
    }
  }

  /// A stamping unit ends a flow.
  func noteEnded(_ flowID: UInt32, pair: Int, epoch: UInt32) {
    occurrences.note(.flowRestarted)
    trace("flow \(flowID) ends with pair \(pair)'s states")
    guard let flow = flow(flowID) else {
      // It went on after one loss, and no packet of it came before the next.
      let last = allFlows[layout.index(flowID)].last
      return require(last?.endedIn != nil, .lostStates) { "flow \(flowID) ends, which was never stamped" }
    }
    require(flow.pair == pair && map[pair].losses > 0 && flow.endedIn == nil, .lostStates) {
      "flow \(flowID) of pair \(flow.pair) ends for a loss of pair \(pair)"
    }
    flow.endedIn = epoch
  }

  /// A stamping unit says that everything of the slot up to here is over.
  func noteFloor(_ flowID: UInt32) {
    occurrences.note(.floorTaken)
    let index = layout.index(flowID)
    for flow in allFlows[index] {
      let isOver = flow.endedIn != nil || (flow.isClosing && flow.out == flow.next - 1)
      require(isOver && layout.isLater(flowID, than: flow.flowID), .lostStates) {
        "the floor \(flowID) is told, and flow \(flow.flowID) is not over"
      }
    }
    floors[index] = flowID
    everFloors.insert(flowID)
  }

  /// The replica became its pair's in a later epoch than the one in which the flow ended.
  func checkNotEnded(_ flow: FlowHistory, by actor: PrimaryActor, _ what: String) {
    guard let epoch = flow.endedIn else { return }
    require(actor.stream < epoch, .lostStates) { "\(actor.name) \(what) flow \(flow.flowID), which has ended" }
  }

  /// What egress lets out of a flow that has ended it has from a primary of before.
  func checkNotEndedAtEgress(_ flow: FlowHistory) {
    guard let epoch = flow.endedIn else { return }
    require(egress.teller(flow.pair) < epoch, .lostStates) { "egress lets out flow \(flow.flowID), which has ended" }
  }

  /// A closed flow that never was, in a snapshot: what came before it in the slot is over. The pair may have been lost again
  /// since, with another floor.
  func noteFloorInSnapshot(_ flowID: UInt32) -> Bool {
    guard everFloors.contains(flowID) else { return false }
    let index = layout.index(flowID)
    for flow in allFlows[index] where layout.isLater(flowID, than: flow.flowID) { flow.appliedNext = flow.next }
    return true
  }

  func isFloor(_ flowID: UInt32) -> Bool { everFloors.contains(flowID) }

  /// What a replica has at rest in a slot of which everything is over.
  func floorDigest(_ flowID: UInt32) -> UInt64 {
    var flow = FlowState(beginning: flowID, SimulatedFunction.initialState)
    flow.isClosed = true
    return flow.digest(next: flow.next)
  }
}
