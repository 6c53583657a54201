import DEFTCore
import DEFTWire

/// A message between two pairs' primaries under way.
struct MoveMessage {
  var bytes: UnsafeRawBufferPointer
  var node: Int
}

// Flow groups move between pairs (R8, R11). Whoever leads a move looks at it now and then, and what it proposes reaches the
// map later: by then the map may have changed.
extension Simulation {
  /// Replicas that a pair may have in one run.
  var replicasPerPair: Int {
    options.moveInterval > 0 ? FlowHistory.replicas / options.pairs : FlowHistory.replicas
  }

  // MARK: the leader

  /// Somebody wants a group to move.
  func beginMove() {
    guard hasFaults else { return }
    events.add(.move, at: now + 1 + random.around(options.moveInterval), target: 0)
    let group = random.below(map.groupCount)
    if let leader = leaders[group], !leader.isOver { return }
    beginMove(group, to: (map.group(group).pair + 1 + random.below(options.pairs - 1)) % options.pairs)
  }

  func beginMove(_ group: Int, to target: Int) {
    let assignment = map.group(group)
    let leader = GroupMigration(group: group, to: target, assignment)
    leaders[group] = leader
    propose(leader.begin, group: group, version: leader.version)
    events.add(.lead, at: now + 1 + random.around(options.controlLatency), target: group)
  }

  func lead(_ group: Int) {
    guard var leader = leaders[group] else { return }
    if leader.phase == .idle, map.group(group).version == leader.version, proposalsUnderWay[group] == 0 {
      // Refused.
      return leaders[group] = nil
    }
    defer {
      leaders[group] = leader.isOver ? nil : leader
      if !leader.isOver { events.add(.lead, at: now + 1 + random.around(options.controlLatency), target: group) }
    }
    let assignment = map.group(group)
    let before = leader.phase
    _ = leader.learn(assignment)
    note(leader.phase, before)
    if leader.phase > .idle, leader.phase < .committed {
      if [leader.source, leader.target].contains(where: { primary($0)?.replica.tellsEgress ?? false }) {
        occurrences.note(.moveInTelling)
      }
      var due = GroupMigration.Due.nothing
      if let source = primary(leader.source), source.node.groups[group].version >= leader.version {
        due = leader.learn(source.replica.moveStatus(of: group))
      }
      if due == .nothing, random.oneIn(40) { due = leader.giveUp() }
      // Nobody knows whether a proposal arrived: it may be made again, while the first is on its way.
      if case .propose(let transition) = due { propose(transition, group: group, version: leader.version) }
    }
    if leader.phase == .committed, stampers.allSatisfy({ $0.knows(group, version: leader.version) }) {
      _ = leader.ruleChanged()
    }
  }

  private func note(_ phase: GroupMigration.Phase, _ before: GroupMigration.Phase) {
    guard phase != before else { return }
    switch phase {
    case .copying: occurrences.note(.moveBegun)
    case .undone: occurrences.note(.moveUndone)
    case .committed: occurrences.note(.moveCommitted)
    case .done: occurrences.note(.moveDone)
    default: break
    }
  }

  var areMovesOver: Bool {
    leaders.allSatisfy { $0 == nil } && (0..<map.groupCount).allSatisfy { map.group($0).phase == .settled }
  }

  // MARK: the map

  func propose(_ transition: GroupTransition, group: Int, version: UInt32, after wait: UInt64? = nil) {
    let code: UInt64 =
      switch transition {
      case .commit: 0
      case .undo: 1
      case .begin(let target): 0x100 + UInt64(target)
      case .drained(let node): 0x1_0000 + UInt64(node.rawValue)
      }
    let due = now + 1 + (wait ?? random.around(options.controlLatency))
    proposalsUnderWay[group] += 1
    events.add(.groupProposal, at: due, target: group, payload: UInt64(version) << 32 | code)
  }

  /// A proposal reaches the map.
  func decide(_ group: Int, _ payload: UInt64) {
    proposalsUnderWay[group] -= 1
    let code = Int(payload & 0xffff_ffff)
    let transition: GroupTransition =
      switch code {
      case 0: .commit
      case 1: .undo
      case 0x100..<0x1_0000: .begin(to: code - 0x100)
      default: .drained(NodeID(UInt16(code - 0x1_0000)))
      }
    let before = map
    let outcome = map.propose(transition, group: group, ifVersion: UInt32(payload >> 32))
    trace("map: group \(group) \(transition): \(outcome)")
    // Its proposer has not seen what the map says now (R11).
    require(outcome != .accepted || before.group(group).version == UInt32(payload >> 32), .oneOwner) {
      "the map accepts \(transition) of group \(group) at version \(before.group(group).version) instead of \(payload >> 32)"
    }
    if outcome != .accepted { occurrences.note(.moveRefused) }
    publishGroups(changedSince: before)
  }

  func publishGroups(changedSince before: ClusterMap) {
    for group in 0..<map.groupCount where map.group(group) != before.group(group) {
      let assignment = map.group(group)
      trace("map: group \(group) is pair \(assignment.pair)'s, \(assignment.phase), version \(assignment.version)")
      let former = before.group(group).pair
      if assignment.pair != former {
        checkStaged(group, from: former, to: assignment.pair)
        checkTold(group, [former, assignment.pair])
        noteMoved(group, to: assignment.pair)
        checkOwner(group)
      }
      publish(.group(group, assignment))
    }
  }

  // MARK: between pairs

  /// To whoever the sender's node takes for the other pair's primary. Messages may be lost, and overtake each other.
  func sendMove(_ message: UnsafeRawBufferPointer, from node: SimulatedNode) {
    let pair = Int(ControlMessageHeader(reading: message.baseAddress!).pair)
    if hasFaults, options.faults.contains(.cut), random.oneIn(options.packetFaults) { return occurrences.note(.cut) }
    moveMessages.append(MoveMessage(bytes: message, node: Int(node.pairs[pair].primary.rawValue)))
    let due = now + 1 + options.controlLatency / 2 + random.below(options.controlLatency)
    events.add(.moveMessage, at: due, target: moveMessages.count - 1)
  }

  func deliverMove(_ place: Int) {
    let message = moveMessages[place]
    let header = ControlMessageHeader(reading: message.bytes.baseAddress!)
    guard nodes[message.node].isAlive, case .primary(let actor) = nodes[message.node].roles[Int(header.pair)],
      actor.moveInbox.count < options.inbox
    else { return }
    actor.moveInbox.append(message.bytes)
    wake(actor.index)
  }

  /// Packets that may be forwarded now, wherever they go: they may exceed what is stamped by half a buffer.
  func forwardCredit(from actor: any ReplicaActor, toItsOwn: Bool = false) -> Int {
    var least = min(options.pool - packets.live, 8)
    for pair in 0..<options.pairs where toItsOwn || pair != actor.pair {
      let assignment = actor.node.pairs[pair]
      for (node, inFlight) in [
        (assignment.primary, primaryPaths[pair].inFlight), (assignment.secondary, secondaryPaths[pair].inFlight),
      ] {
        guard let node else { continue }
        var waiting = 0
        switch nodes[Int(node.rawValue)].roles[pair] {
        case .none: break
        case .primary(let actor): waiting = actor.forwards.count
        case .secondary(let actor): waiting = actor.input.count
        }
        least = min(least, options.inputBuffer + max(1, options.inputBuffer / 2) - waiting - inFlight)
      }
    }
    return least
  }

  /// R8: to both replicas of the pair that the node takes for the owner, past the stampers. `hasSteppedDown`: nothing is asked
  /// of it any more, and the group need not have moved.
  func forward(_ packet: Packet, by actor: any ReplicaActor, hasSteppedDown: Bool = false) {
    occurrences.note(.forwarded)
    let group = group(packet.pointee.flowID)
    let (pair, version) = (actor.node.groups[group].pair, actor.node.groups[group].version)
    let owner = actor.node.pairs[pair]
    trace("\(actor.name): forwards \(text(packet)) to pair \(pair)")
    if !hasSteppedDown, !actor.keepsAnother(packet) {
      flow(packet.pointee.flowID)?.giveAway(packet.pointee.counter, actor.mark)
    }
    let incarnation = actor.firstIncarnations[layout.unit(packet.pointee.flowID)]
    let forwarder = hasSteppedDown ? nil : actor.node.id
    let holder = actor.node.holder
    let isShared = options.sharesPackets && owner.secondary != nil
    packets.add(packet, holder, (isShared ? 3 : 2) - actor.referencesPerPacket)
    require(packets.move(packet, from: holder, to: 0, isShared ? 3 : 2), .packetMemory) {
      "\(actor.name) forwards \(text(packet)) and does not have it"
    }
    let second: Packet
    if let secondary = owner.secondary {
      let frame = SimulatedPacket.of(packet).pointee.frame
      second = isShared ? packet : packets.make(packet.pointee, frame: frame, references: 1)
      send(
        Flight(
          packet: second, pair: pair, references: 1, destination: .secondary, node: Int(secondary.rawValue),
          incarnation: incarnation, isForwarded: true, forwarder: forwarder, groupVersion: version,
          tag: ReleaseTag(pair: 0, stream: 0, sequence: 0)),
        &secondaryPaths[pair])
    }
    send(
      Flight(
        packet: packet, pair: pair, references: 2, destination: .primary, node: Int(owner.primary.rawValue),
        epoch: owner.epoch, incarnation: incarnation, isForwarded: true, forwarder: forwarder, groupVersion: version,
        tag: ReleaseTag(pair: 0, stream: 0, sequence: 0)), &primaryPaths[pair])
  }

  /// R9: whoever may still forward something to the pair knows of the epoch.
  func doForwardersKnow(_ pair: Int, epoch: UInt32) -> Bool {
    guard options.moveInterval > 0 else { return true }
    return nodes.allSatisfy { node in
      guard node.isAlive, node.pairs[pair].epoch < epoch else { return true }
      let isSource = (0..<map.groupCount).contains { group in
        guard map.group(group).pair == pair, case .inheriting(_, let first, let second) = map.group(group).phase else {
          return false
        }
        return first == node.id || second == node.id
      }
      return !isSource
    }
  }

  /// The map waits for the node's word, and nothing of the group can come to it any more: every unit has the rule, or is shut
  /// out, and what was sent before has been taken. What it has forwarded has arrived, or a unit's successor would not know of it.
  func awaitsDrain(_ group: Int, of actor: any ReplicaActor) -> Bool {
    guard case .inheriting(let source, let first, let second) = actor.node.groups[group].phase, source == actor.pair,
      map.group(group).version == actor.node.groups[group].version,
      first == actor.node.id || second == actor.node.id, proposalsUnderWay[group] == 0,
      stampers.allSatisfy({
        $0.knows(group, version: map.group(group).version) && actor.node.incarnations[$0.unit] >= $0.incarnation
      })
    else { return false }
    func isOfGroup(_ packet: Packet) -> Bool { self.group(packet.pointee.flowID) == group }
    guard !actor.input.waiting.contains(where: isOfGroup) else { return false }
    if let primary = actor as? PrimaryActor, primary.forwards.waiting.contains(where: isOfGroup) { return false }
    return !underWay.contains { place in
      let flight = flights[place]
      let isToHere =
        flight.pair == source && flight.node == Int(actor.node.id.rawValue) && flight.destination != .egress
      return (isToHere || flight.forwarder == actor.node.id) && isOfGroup(flight.packet)
    }
  }
}
