import DEFTCore

extension ReplicaActor {
  /// One of the packet's copies leaves the replica. It has lost the packet only if that was the last one: of what is kept for
  /// a group that moves, any number of doubles may be here (R11).
  func keepsAnother(_ packet: Packet) -> Bool {
    // What gap repair brought counts once the replica has looked at it.
    var count = 0
    forEachWaiting { flowID, counter in
      if flowID == packet.pointee.flowID, counter == packet.pointee.counter { count += 1 }
    }
    for other in repaired.waiting
    where other.pointee.flowID == packet.pointee.flowID && other.pointee.counter == packet.pointee.counter { count -= 1 }
    return count > 0
  }

  /// The replica has no part any more: its copy, which another may not have, is gone.
  func abandon(_ packet: Packet) {
    simulation.noteLostCopy(packet)
    simulation.giveBack(packet, node.holder, referencesPerPacket, name)
  }

  /// A packet that was kept finds no room where it goes from there.
  func hasLost(_ packet: Packet) {
    simulation.trace("\(name): has no room for \(simulation.text(packet)), which was kept")
    guard !keepsAnother(packet) else { return }
    simulation.flow(packet.pointee.flowID)?.noLongerHolds(packet.pointee.counter, mark)
  }

  /// The replica has looked at what gap repair brought, all but the last `waiting`: it holds those packets now, or has no use
  /// for them (it has them, or no room to keep them).
  func settleRepaired(waiting: Int, _ unwanted: UnsafeMutablePointer<Packet>, _ unwantedCount: Int) {
    var next = 0
    while repaired.count > waiting {
      let packet = repaired.removeFirst()
      if next < unwantedCount, unwanted[next] == packet {
        next += 1
        simulation.trace("\(name): has no use for \(simulation.text(packet))")
        simulation.giveBack(packet, node.holder, referencesPerPacket, name)
      } else if simulation.flow(packet.pointee.flowID)?.hold(packet.pointee.counter, mark) ?? false {
        simulation.repaired += 1
      }
    }
    simulation.require(next == unwantedCount, .packetMemory) { "\(name) refuses a packet that it was not given" }
  }
}
