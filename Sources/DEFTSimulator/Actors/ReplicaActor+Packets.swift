import DEFTCore

extension ReplicaActor {
  /// The replica has no part any more: its copy, which another may not have, is gone.
  func abandon(_ packet: Packet) {
    simulation.noteLostCopy(packet)
    simulation.giveBack(packet, node.holder, referencesPerPacket, name)
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
