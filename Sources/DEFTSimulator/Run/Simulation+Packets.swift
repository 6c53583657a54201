import DEFTCore
import DEFTWire

/// A packet under way.
struct Flight {
  var packet: Packet
  /// The pair's path, and how many references it carries.
  var pair: Int
  var references: Int
  var destination: PacketPath.Destination
  /// To a replica: on which node.
  var node: Int
  /// The epoch that its sender knew of.
  var epoch: UInt32 = 0
  /// The stamping unit's that sent it.
  var incarnation: UInt32 = 1
  /// A former owner's, past the stampers (R8); of a group that has moved: who that is.
  var isForwarded = false
  var forwarder: NodeID?
  /// By which version of the map's entry of its group.
  var groupVersion: UInt32 = 0
  /// To egress: which one, and what it is to be acknowledged as.
  var egressTerm: UInt32 = 1
  var tag: ReleaseTag
}

// The ways of packets.
extension Simulation {
  /// Not even room for one that gap repair brings.
  var isPoolEmpty: Bool { packets.live >= options.pool }
  /// Packets that may be stamped, each with its copy and a double of both: what is left is for gap repair.
  var poolCredit: Int { (options.pool - packets.live - options.pairs * options.replication.repairReserve) / 4 }

  /// Packets that may be stamped now, wherever they go by what the unit knows of the map (R17).
  func leastCredit(_ rules: [PairAssignment]) -> Int {
    var least = poolCredit
    for pair in 0..<options.pairs {
      var waiting = primaryPaths[pair].inFlight
      if let actor = nodes[Int(rules[pair].primary.rawValue)].receiver(pair) { waiting += actor.input.count }
      least = min(least, options.inputBuffer - waiting)
      waiting = secondaryPaths[pair].inFlight
      if let id = rules[pair].secondary, let actor = nodes[Int(id.rawValue)].receiver(pair) {
        waiting += actor.input.count
      }
      least = min(least, options.inputBuffer - waiting)
    }
    return least
  }

  /// A stamped packet goes both ways, as the stamping unit knows the map.
  func send(
    _ metadata: PacketMetadata, _ frame: UnsafeMutableRawPointer, _ rule: PairAssignment, _ pair: Int,
    incarnation: UInt32
  ) {
    if counts(metadata.flowID, incarnation) {
      note(metadata, frame, self.pair(metadata.flowID))
      stamped += 1
    } else {
      noteUncounted(metadata.flowID)
    }
    sendAgain(metadata, frame, rule, pair, incarnation: incarnation)
  }

  func sendAgain(
    _ metadata: PacketMetadata, _ frame: UnsafeMutableRawPointer, _ rule: PairAssignment, _ pair: Int,
    incarnation: UInt32
  ) {
    let hasSecondary = rule.secondary != nil
    let first: Packet
    if options.sharesPackets {
      first = packets.make(metadata, frame: frame, references: hasSecondary ? 3 : 2)
    } else {
      first = packets.make(metadata, frame: frame, references: 2)
    }
    let second =
      !hasSecondary || options.sharesPackets ? first : packets.make(metadata, frame: frame, references: 1)
    send(
      Flight(
        packet: first, pair: pair, references: 2, destination: .primary, node: Int(rule.primary.rawValue),
        epoch: rule.epoch, incarnation: incarnation, tag: ReleaseTag(pair: 0, stream: 0, sequence: 0)), &primaryPaths[pair])
    guard let secondary = rule.secondary else { return }
    send(
      Flight(
        packet: second, pair: pair, references: 1, destination: .secondary, node: Int(secondary.rawValue),
        incarnation: incarnation, tag: ReleaseTag(pair: 0, stream: 0, sequence: 0)), &secondaryPaths[pair])
  }

  /// The oracle learns of the packet.
  private func note(_ metadata: PacketMetadata, _ frame: UnsafeMutableRawPointer, _ pair: Int) {
    let flow: FlowHistory
    if let known = self.flow(metadata.flowID) {
      flow = known
    } else {
      flow = FlowHistory(flowID: metadata.flowID, pair: pair)
      checkNewFlow(flow)
      add(flow)
    }
    require(flow.next == metadata.counter && !flow.isClosing && flow.endedIn == nil, .slots) {
      "flow \(flow.flowID) is stamped \(metadata.counter), not \(flow.next)"
    }
    if metadata.layout.isCloseMarker { flow.isClosing = true }
    flow.stamp(FlowHistory.Stamped(frame: frame, layout: metadata.layout, time: metadata.time))
    trace(
      "stamper: (\(metadata.flowID), \(metadata.counter))\(metadata.layout.isCloseMarker ? " close" : "") to pair \(pair)")
  }

  func send(_ flight: Flight, _ path: inout PacketPath) {
    let double: Fault = .duplication
    if hasFaults, options.faults.contains(double), random.oneIn(options.packetFaults) {
      occurrences.note(double)
      var copy = flight
      let frame = SimulatedPacket.of(flight.packet).pointee.frame
      copy.packet = packets.make(flight.packet.pointee, frame: frame, references: flight.references)
      launch(copy, &path, late: random.oneIn(4) ? random.below(options.faultInterval) : 0)
    }
    // One that is astray already, kept and sent on by a former owner, could come back into the window.
    if hasFaults, options.faults.contains(.stray), flight.destination != .egress, isStamped(flight.packet),
      random.oneIn(options.packetFaults * 2)
    {
      occurrences.note(.stray)
      var stray = flight
      var metadata = flight.packet.pointee
      metadata.counter &+= 1 << 30 + UInt32(random.below(1 << 30))
      let frame = SimulatedPacket.of(flight.packet).pointee.frame
      stray.packet = packets.make(metadata, frame: frame, references: flight.references)
      launch(stray, &path, late: 0)
    }
    launch(flight, &path, late: 0)
  }

  private func isStamped(_ packet: Packet) -> Bool {
    guard let flow = flow(packet.pointee.flowID) else { return false }
    return packet.pointee.counter < flow.next
  }

  private func launch(_ flight: Flight, _ path: inout PacketPath, late: UInt64) {
    guard let due = path.due(self) else {
      trace("\(text(flight.packet)) is lost on its way to \(flight.destination)")
      noteLostCopy(flight.packet)
      return giveBack(flight.packet, 0, flight.references, "a path")
    }
    let place: Int
    if let free = freeFlights.popLast() {
      place = free
      flights[place] = flight
    } else {
      place = flights.count
      flights.append(flight)
    }
    underWay.insert(place)
    events.add(.arrival, at: due + late, target: place)
  }

  /// A scenario loses a packet.
  func lose(_ place: Int) {
    let flight = flights[place]
    freeFlights.append(place)
    underWay.remove(place)
    switch flight.destination {
    case .primary: primaryPaths[flight.pair].inFlight -= 1
    case .secondary: secondaryPaths[flight.pair].inFlight -= 1
    case .egress: releasePaths[flight.pair].inFlight -= 1
    }
    trace("\(text(flight.packet)) is lost on its way to \(flight.destination)")
    noteLostCopy(flight.packet)
    giveBack(flight.packet, 0, flight.references, "a path")
  }

  /// Every unit knows of the epoch, and what was stamped before that has come to the primary's input. A unit that was replaced
  /// may never know: the primary takes nothing of it any more.
  func isDrained(_ pair: Int, epoch: UInt32) -> Bool {
    let node = nodes[Int(map[pair].primary.rawValue)]
    guard stampers.allSatisfy({ $0.knows(pair, epoch: epoch) && node.incarnations[$0.unit] >= $0.incarnation }),
      doForwardersKnow(pair, epoch: epoch)
    else {
      return false
    }
    return !underWay.contains { place in
      let flight = flights[place]
      return flight.pair == pair && flight.destination == .primary && flight.epoch < epoch && isTaken(flight, by: node)
    }
  }

  /// R16: not what an earlier incarnation of a stamping unit has sent, unless the map waits for whoever forwards it.
  private func isTaken(_ flight: Flight, by node: SimulatedNode) -> Bool {
    let flowID = flight.packet.pointee.flowID
    if flight.incarnation >= node.incarnations[layout.unit(flowID)] { return true }
    guard let forwarder = flight.forwarder else { return false }
    return node.groups[group(flowID)].expects(from: forwarder, by: flight.groupVersion)
  }

  /// A packet comes out of a path.
  func arrive(_ place: Int) {
    let flight = flights[place]
    // Whoever does not know yet that the group is its pair's would send it back, and both replicas that it goes to send it here
    // again: twice as many each time.
    if flight.isForwarded, flight.groupVersion > nodes[flight.node].groups[group(flight.packet.pointee.flowID)].version {
      return events.add(.arrival, at: now + 1 + options.controlLatency / 4, target: place)
    }
    freeFlights.append(place)
    underWay.remove(place)
    switch flight.destination {
    case .primary: primaryPaths[flight.pair].inFlight -= 1
    case .secondary: secondaryPaths[flight.pair].inFlight -= 1
    case .egress:
      releasePaths[flight.pair].inFlight -= 1
      guard flight.egressTerm == egress.term(flight.pair), !egress.isGone else {
        if !egress.isGone, flight.egressTerm < egress.term(flight.pair) { occurrences.note(.lateRelease) }
        trace("\(text(flight.packet)) comes to an egress that is no more")
        return giveBack(flight.packet, 0, 1, "a path")
      }
      egress.arrive(flight.packet, flight.tag)
      return wake(egress.index)
    }
    let node = nodes[flight.node]
    guard let actor = node.receiver(flight.pair), node.isAlive else {
      trace("\(text(flight.packet)) comes to \(node.id), which has no part in pair \(flight.pair)")
      noteLostCopy(flight.packet)
      return giveBack(flight.packet, 0, flight.references, "a path")
    }
    let unit = layout.unit(flight.packet.pointee.flowID)
    guard isTaken(flight, by: node) else {
      trace("\(text(flight.packet)) comes to \(node.id) from incarnation \(flight.incarnation) of unit \(unit)")
      occurrences.note(.staleIncarnation)
      noteLostCopy(flight.packet)
      return giveBack(flight.packet, 0, flight.references, "a path")
    }
    let needed = actor.referencesPerPacket
    if needed > flight.references { packets.add(flight.packet, 0, needed - flight.references) }
    require(packets.move(flight.packet, from: 0, to: node.holder, needed), .packetMemory) {
      "a path gave \(text(flight.packet)) away"
    }
    if needed < flight.references { giveBack(flight.packet, 0, flight.references - needed, "a path") }
    if flight.forwarder != nil, flight.incarnation < node.incarnations[unit] { occurrences.note(.inheritedFromReplaced) }
    if flight.isForwarded, let primary = actor as? PrimaryActor {
      primary.forwards.append(flight.packet)
    } else {
      actor.input.append(flight.packet)
    }
    wake(actor.index)
  }

  /// A released packet, and with it egress's reference.
  func sendToEgress(_ packet: Packet, _ tag: ReleaseTag, from holder: Holder, term: UInt32) {
    require(packets.move(packet, from: holder, to: 0, 1), .packetMemory) {
      "\(text(packet)) is released without a reference"
    }
    let pair = Int(tag.pair)
    send(
      Flight(packet: packet, pair: pair, references: 1, destination: .egress, node: 0, egressTerm: term, tag: tag),
      &releasePaths[pair])
  }

  /// A packet of what gap repair has brought. nil: the pool is empty.
  func makeRepaired(
    _ metadata: PacketMetadata, _ frame: UnsafeRawBufferPointer, _ references: Int, for actor: any ReplicaActor
  ) -> Packet? {
    guard !isPoolEmpty else {
      occurrences.note(.poolEmpty)
      return nil
    }
    let bytes = arena.allocate(SimulatedPacket.frameBytes, alignment: 8)
    bytes.copyMemory(from: frame.baseAddress!, byteCount: min(frame.count, SimulatedPacket.frameBytes))
    let packet = packets.make(metadata, frame: bytes, references: references)
    _ = packets.move(packet, from: 0, to: actor.node.holder, references)
    occurrences.note(.repaired)
    trace("\(actor.name): gap repair brings \(text(packet))")
    actor.repaired.append(packet)
    return packet
  }

  func giveBack(_ packet: Packet, _ holder: Holder, _ count: Int, _ who: String) {
    require(packets.giveBack(packet, holder, count), .packetMemory) {
      "\(who) gives back \(count) references to \(text(packet)) and has \(packets.references(packet, holder))"
    }
  }

  /// The primary says that the close of a flow is committed.
  func returnSlot(_ flowID: UInt32, pair: Int) {
    checkSlotReturned(flowID)
    occurrences.note(.flowClosed)
    let due = now + 1 + random.below(options.pathLatency)
    events.add(.closeNotice, at: due, target: layout.unit(flowID), payload: UInt64(flowID))
  }
}
