import DEFTCore

/// One packet of one flow.
struct PacketKey: Hashable {
  let flowID: UInt32
  let counter: UInt32

  init(_ flowID: UInt32, _ counter: UInt32) { (self.flowID, self.counter) = (flowID, counter) }
  init(_ packet: Packet) { self.init(packet.pointee.flowID, packet.pointee.counter) }
}

// R8: a primary that lives and was given up has packets that nobody else may have. They go to both replicas of the pair that its
// node knows by then to be the owner, and so does what still comes to it.
extension PrimaryActor {
  /// Its node knows who has come after it. (A message of a later epoch does not say.)
  private var isSucceeded: Bool { node.pairs[pair].epoch > epoch }
  /// The map has given up the pair's states: the flows that it has packets of are over.
  private var isPairLost: Bool { Int(node.pairs[pair].losses) > formerLosses }

  /// There is somebody who may take the packet. Not if its stamping unit was replaced: the unit's successor asks the replicas
  /// that the map names how far the flow has come, and not this one, so what it brings later never was (R16).
  private func mayForward(_ packet: Packet) -> Bool {
    let unit = simulation.layout.unit(packet.pointee.flowID)
    return !isPairLost && node.incarnations[unit] == firstIncarnations[unit]
  }

  var hasMoreToForward: Bool {
    if replica.forwardableCount > 0 { return true }
    guard isRetiring, !isPairLost else { return false }
    return replica.unreleasedCount > 0 || !input.isEmpty || !forwards.isEmpty || simulation.mayStillReach(self)
  }

  func forwardUnreleased() -> Int {
    guard isSucceeded, !isPairLost, replica.forwardableCount == 0 else { return 0 }
    let room = min(simulation.forwardCredit(from: self, toItsOwn: true), simulation.burstBuffer.count)
    guard room > 0 else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    var count = replica.takeUnreleased(into: packets, capacity: room)
    let before = count
    while count < room, !input.isEmpty {
      packets[count] = input.removeFirst()
      count += 1
    }
    while count < room, !forwards.isEmpty {
      packets[count] = forwards.removeFirst()
      count += 1
    }
    replica.forwardedInput(count - before)
    for i in 0..<count {
      guard mayForward(packets[i]) else {
        giveUp(packets[i])
        continue
      }
      simulation.occurrences.note(.forwardedToSuccessor)
      noLongerKeeps(packets[i])
      simulation.forward(packets[i], by: self, hasSteppedDown: true)
    }
    return count
  }

  /// R8: nothing that somebody may take is given up by one that lives; only what the NF dropped and the secondary has voted
  /// for, and so has.
  func giveUp(_ packet: Packet, isVoted: Bool = false) {
    simulation.require(isVoted || !mayForward(packet), .lostTruly) {
      "\(name) lives, and gives up \(simulation.text(packet)) (R8)"
    }
    noLongerKeeps(packet)
    abandon(packet)
  }

  private func noLongerKeeps(_ packet: Packet) {
    let key = PacketKey(packet)
    if let count = unforwarded[key] { unforwarded[key] = count > 1 ? count - 1 : nil }
  }

  /// It has stepped down, and will forward the packet.
  func willForward(_ flowID: UInt32, _ counter: UInt32) -> Bool {
    let key = PacketKey(flowID, counter)
    return unforwarded[key] != nil || input.waiting.contains { PacketKey($0) == key }
      || forwards.waiting.contains { PacketKey($0) == key }
  }
}

extension Simulation {
  /// Somebody may still send packets to the former primary: a unit that has not learnt of its successor, or a path.
  func mayStillReach(_ former: PrimaryActor) -> Bool {
    guard former.node.receiver(former.pair) === former else { return false }
    return !stampers.allSatisfy { $0.knows(former.pair, epoch: former.epoch + 1) }
      || underWay.contains { place in
        let flight = flights[place]
        return flight.pair == former.pair && flight.node == Int(former.node.id.rawValue)
          && flight.destination != .egress
      }
  }

  /// A former primary of the pair that lives has the packet, or it is on its way from one to this primary.
  func isBroughtBySomebody(_ flowID: UInt32, _ counter: UInt32, to actor: PrimaryActor) -> Bool {
    let key = PacketKey(flowID, counter)
    return nodes.contains { $0.isAlive && $0.formerPrimaries(actor.pair).contains { $0.willForward(flowID, counter) } }
      || actor.forwards.waiting.contains { PacketKey($0) == key }
      || underWay.contains { place in
        let flight = flights[place]
        return flight.isForwarded && flight.pair == actor.pair && PacketKey(flight.packet) == key
      }
  }
}
