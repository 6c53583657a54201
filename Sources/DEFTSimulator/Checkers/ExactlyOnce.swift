import DEFTCore

// B1: what leaves egress is, per flow, what one sequential run of the NF passes: each once, in order, none left out.
extension Simulation {
  func checkTransmitted(_ packet: Packet) {
    guard let flow = flow(packet.pointee.flowID) else {
      return fail(.exactlyOnce, "egress lets out \(text(packet)), a flow that was never stamped")
    }
    let due = flow.nextLeaving(options.function)
    require(due == packet.pointee.counter, .exactlyOnce) {
      "egress lets out \(text(packet)); flow \(flow.flowID) has had \(flow.out), and \(due.map(String.init) ?? "none") is next"
    }
    checkNotEndedAtEgress(flow)
    trace("egress: transmits \(text(packet))")
    if isDirected { flow.transmitted.append(packet.pointee.counter) }
    flow.out = packet.pointee.counter
    if !packet.pointee.layout.isCloseMarker { transmitted += 1 }
  }

  /// At rest: everything that the NF passed is out.
  func checkAllTransmitted() {
    for generations in allFlows {
      for flow in generations where flow.endedIn == nil {
        let due = flow.nextLeaving(options.function)
        require(due == nil, .exactlyOnce) { "(\(flow.flowID), \(due!)) never left" }
      }
    }
  }
}
