import DEFTCore
import DEFTWire

// R11: what moves is what one run of the NF leaves, and is settled where it comes from; a flow has one owner at a time.
extension Simulation {
  /// A message between two primaries is sent.
  func checkMove(_ message: UnsafeRawBufferPointer) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    require(header.defect() == nil && Int(header.length) <= message.count, .messages) { "a malformed message \(header)" }
  }

  /// The map gives the group away: what it came to is settled, and both replicas of the new owner have it. (What was sent before
  /// may say anything: it is inert.)
  func checkStaged(_ group: Int, from source: Int, to target: Int) {
    guard let former = primary(source), former.epoch == map[source].epoch, let owner = primary(target) else { return }
    var flows: [UInt32: FlowState<SimulatedFunction.State>] = [:]
    owner.replica.forEachFlow { flows[$0.flowID] = $0 }
    var copies: [UInt32: FlowState<SimulatedFunction.State>] = [:]
    secondary(target)?.replica.forEachFlow { copies[$0.flowID] = $0 }
    former.replica.forEachFlow { flow in
      guard self.group(flow.flowID) == group else { return }
      checkSettled(flow)
      let isHere = flows[flow.flowID].map { $0.isAsFar(as: flow) } ?? false
      let isCopied = secondary(target) == nil || (copies[flow.flowID].map { $0.isAsFar(as: flow) } ?? false)
      require(isHere && isCopied, .movedState) {
        "flow \(flow.flowID) is at \(flow.next) where it comes from, and not where it goes to"
          + (isHere ? " at the secondary" : "")
      }
    }
  }

  private func checkSettled(_ entry: FlowState<SimulatedFunction.State>) {
    if entry.isClosed, entry.next == 1, isFloor(entry.flowID) { return }
    guard let flow = flow(entry.flowID), let point = flow.point(before: entry.next, options.function) else {
      return fail(.movedState, "flow \(entry.flowID) moves at \(entry.next), which was never stamped")
    }
    let isRight =
      point.state == entry.state && point.lastPassed == entry.lastPassed && point.time == entry.time
      && point.isClosed == entry.isClosed
    require(isRight, .movedState) { "flow \(entry.flowID) moves with \(entry), which should be \(point)" }
    require(flow.appliedNext >= entry.next && flow.out >= entry.lastPassed, .movedState) {
      "flow \(entry.flowID) moves at \(entry.next), and \(flow.appliedNext) is applied, \(flow.out) is out"
    }
  }

  /// From now on the states count that are at the new owner's replicas; before that they may be of a move that comes to nothing.
  func noteMoved(_ group: Int, to target: Int) {
    func note(_ state: FlowState<SimulatedFunction.State>, _ mark: Int) {
      if self.group(state.flowID) == group { flow(state.flowID)?.holdAll(below: state.next, mark) }
    }
    if let owner = primary(target) { owner.replica.forEachFlow { note($0, owner.mark) } }
    if let other = secondary(target) { other.replica.forEachFlow { note($0, other.mark) } }
  }

  /// The map has given the group to another pair: from now on only that one may decide on its packets.
  func checkOwner(_ group: Int) {
    for generations in allFlows {
      for flow in generations where self.group(flow.flowID) == group { flow.pair = map.group(group).pair }
    }
  }

  /// A prepare decides on packets of flows that are its pair's. (One of an epoch that has passed decides nothing.)
  func checkOwner(of flow: FlowHistory, _ actor: PrimaryActor) {
    guard actor.epoch == map[actor.pair].epoch else { return }
    require(flow.pair == actor.pair, .oneOwner) {
      "\(actor.name) decides on flow \(flow.flowID), which is pair \(flow.pair)'s"
    }
  }

  /// R11: nothing is lost while a former owner may still bring it.
  func checkDrained(_ flow: FlowHistory, _ counter: UInt32, _ actor: PrimaryActor) {
    guard case .inheriting = map.group(group(flow.flowID)).phase else { return }
    fail(.lostTruly, "\(actor.name) declares (\(flow.flowID), \(counter)) lost before its former owners have drained")
  }
}

extension FlowState<SimulatedFunction.State> {
  /// The NF has come to the same, and no packet fewer was taken.
  fileprivate func isAsFar(as other: Self) -> Bool {
    next >= other.next && state == other.state && lastPassed == other.lastPassed && isClosed == other.isClosed
  }
}
