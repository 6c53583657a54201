import DEFTCore

// What goes wrong, besides what packets suffer on their paths.
extension Simulation {
  private static let striking: [Fault] = [
    .cut, .oneWayDead, .slowLink, .stall, .clockStep, .crash, .crash, .falseSuspicion, .restart, .stamperCrash,
    .stamperSuspicion, .egressCrash,
  ]

  func strike() {
    guard hasFaults else { return }
    let isLoss = options.faults.contains(.groupLoss) && random.oneIn(4)
    let fault = isLoss ? Fault.groupLoss : random.oneOf(Simulation.striking)
    if options.faults.contains(fault), strike(fault, for: random.around(options.faultInterval)) { occurrences.note(fault) }
    events.add(.fault, at: now + 1 + random.around(options.faultInterval / 4), target: 0)
  }

  /// False: it found nothing to strike.
  private func strike(_ fault: Fault, for time: UInt64) -> Bool {
    switch fault {
    case .cut, .oneWayDead, .slowLink:
      let link = links[random.below(links.count)]
      guard link.isAlive else { return false }
      switch fault {
      case .cut: link.end(link.number)
      case .oneWayDead: link.die(random.oneIn(2) ? .toPrimary : .toSecondary, for: time)
      default: link.slowDown(for: time)
      }
    case .stall:
      let index = random.below(actors.count)
      guard !actors[index].isGone else { return false }
      turns[index].stalledUntil = now + time
      trace("\(actors[index].name): stands still for \(time) ns")
    case .crash:
      let node = nodes[random.below(nodes.count)]
      guard node.isAlive, maySpare(node.id), !isLastFormerOwner(node.id) else { return false }
      node.crash()
      noteSuspicion(node.id)
    case .falseSuspicion:
      let node = nodes[random.below(nodes.count)]
      guard node.isAlive, maySpare(node.id) else { return false }
      trace("\(node.id): is suspected, and lives")
      noteSuspicion(node.id)
    case .restart:
      let node = nodes[random.below(nodes.count)]
      guard !node.isAlive else { return false }
      node.restart()
    case .egressCrash:
      guard !egress.isGone else { return false }
      crashEgress()
    case .groupLoss: return loseGroup(random.below(options.pairs))
    case .stamperCrash, .stamperSuspicion:
      replaceUnit(random.below(options.units), isDead: fault == .stamperCrash)
    default:
      let stamper = stampers[random.below(stampers.count)]
      let step = Int64(random.around(options.faultInterval))
      stamper.clockOffset = max(0, stamper.clockOffset + (random.oneIn(2) ? step : -step))
      trace("\(stamper.name): clock offset \(stamper.clockOffset) ns")
    }
    return true
  }

  /// The failure model: of each pair one replica in sync remains, and what the map says of it has been learnt.
  private func maySpare(_ node: NodeID) -> Bool {
    for pair in 0..<options.pairs {
      let assignment = map[pair]
      let others = [assignment.primary, assignment.secondary].compactMap { $0 }.filter { $0 != node }
      if assignment.primary == node || assignment.secondary == node {
        let isNeeded = assignment.standing != .inSync && assignment.primary == node
        guard !isNeeded, Int(assignment.epoch) < FlowHistory.replicas,
          named[pair] < replicasPerPair - 2 || options.moveInterval == 0
        else { return false }
      }
      guard others.allSatisfy({ nodes[Int($0.rawValue)].isAlive && !suspected.contains($0) }) else { return false }
    }
    return true
  }

  /// What a group's former owners keep of it until the new one has room nobody else has: one of the two remains.
  private func isLastFormerOwner(_ node: NodeID) -> Bool {
    (0..<map.groupCount).contains { group in
      guard case .inheriting(_, let first, let second) = map.group(group).phase else { return false }
      let waitedFor = [first, second].compactMap { $0 }
      return waitedFor.contains(node)
        && waitedFor.allSatisfy { $0 == node || !nodes[Int($0.rawValue)].isAlive || suspected.contains($0) }
    }
  }

  /// What the map says of the pair does not protect it: none of its replicas is left that has its states. A node that lives
  /// and is about to be declared dead must not be all that is left of one, or more would be lost than has to be.
  private func loseGroup(_ pair: Int) -> Bool {
    let assignment = map[pair]
    guard named.allSatisfy({ $0 < replicasPerPair - 4 }),
      (0..<options.pairs).allSatisfy({ Int(map[$0].epoch) < FlowHistory.replicas }),
      suspected.allSatisfy({ !nodes[Int($0.rawValue)].isAlive })
    else { return false }
    var victims = [assignment.primary]
    if let secondary = assignment.secondary, assignment.standing == .inSync || random.oneIn(3) { victims.append(secondary) }
    victims = victims.filter { nodes[Int($0.rawValue)].isAlive }
    // What is on its way to a node that comes back at once may find a replica there that begins with nothing.
    let comesBack = random.oneIn(2)
    for victim in victims {
      nodes[Int(victim.rawValue)].crash()
      noteSuspicion(victim)
      let due = now + 1 + random.around(options.controlLatency)
      if comesBack { events.add(.restart, at: due, target: Int(victim.rawValue)) }
    }
    return !victims.isEmpty
  }

  private func noteSuspicion(_ node: NodeID) {
    // One word of the detector at a time: what it would say twice would protect nobody the second time.
    guard suspected.insert(node).inserted else { return }
    events.add(
      .suspicion, at: now + 1 + random.below(options.controlLatency * 8), target: Int(node.rawValue))
  }
}
