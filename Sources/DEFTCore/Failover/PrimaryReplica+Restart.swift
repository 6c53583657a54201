import DEFTWire

// Both replicas of a pair are lost: the map counts it, and names a node that begins with nothing. The stamping units have ended
// the generations of the pair's flows, and say of each slot up to which flow ID everything is over: its floor. Installed as a
// closed flow it makes `mayBegin` refuse whatever is still under way of what has ended, and costs the other packets nothing.
extension PrimaryReplica where Log: ~Copyable {
  /// The map: (this node, none, e+1), and one loss more. Of a replica that has processed nothing. It takes packets after
  /// `units` stamping units have told it their floors, and egress of `egressTerm` has been told of them.
  public mutating func restart(units: Int, egressTerm: UInt32) {
    precondition(tail == 0 && standing == .none && configuration.isReplicated, "a restart begins with nothing")
    precondition(units > 0 && units <= RestartState.maximumUnits && egressTerm > telling.term)
    restarting.phase = .floors
    restarting.awaited = ~0 >> UInt64(RestartState.maximumUnits - units)
    egressChanged(term: egressTerm)
    updateRoomLimit()
  }

  /// Stamping units still have to say which generations are over.
  public var awaitsFloors: Bool { restarting.phase == .floors }
  public func awaitsFloors(of unit: Int) -> Bool {
    restarting.phase == .floors && restarting.awaited & 1 << UInt64(unit) != 0
  }
  /// It has nothing yet, and takes nothing.
  public var isRestarting: Bool { !restarting.isOver }

  /// Everything of this slot up to `flowID`, which never was used, is over. Said again it changes nothing.
  public mutating func takeFloor(_ flowID: UInt32) {
    guard awaitsFloors(of: flows.layout.unit(flowID)), !isSteppedDown else { return }
    let flow = flows.entry(flowID)
    if flow.pointee.flowID != flowID { counters.floors &+= 1 }
    flow.pointee = FlowState(beginning: flowID, Function.initialState)
    flow.pointee.isClosed = true
  }

  /// Those were all that the unit has for this pair.
  public mutating func floorsAreTold(by unit: Int) {
    guard awaitsFloors(of: unit), !isSteppedDown else { return }
    restarting.awaited &= ~(1 << UInt64(unit))
    if restarting.awaited == 0 { restarting.phase = .egress }
  }

  /// Egress knows of the floors.
  mutating func finishRestart() {
    guard restarting.phase == .egress else { return }
    restarting.phase = .over
    updateRoomLimit()
  }
}
