import DEFTCore
import DEFTWire

// The ways of packets.
extension Simulation {
  /// Packets that may be stamped now, wherever they go (R17).
  var leastCredit: Int {
    var least = isPoolEmpty ? 0 : Int.max
    for pair in 0..<options.pairs {
      least = min(least, options.inputBuffer - primaryPaths[pair].inFlight - primaries[pair].input.count)
      least = min(least, options.inputBuffer - secondaryPaths[pair].inFlight - secondaries[pair].input.count)
    }
    return least
  }

  /// Not enough for a packet, its copy and a double of each.
  var isPoolEmpty: Bool { options.pool - packets.live < 4 }

  /// A stamped packet goes both ways.
  func send(_ metadata: PacketMetadata, _ frame: UnsafeMutableRawPointer) {
    let pair = pair(metadata.flowID)
    note(metadata, frame, pair)
    stamped += 1
    if options.sharesPackets {
      let packet = packets.make(metadata, frame: frame, references: 3)
      send(packet, &primaryPaths[pair], references: 2)
      send(packet, &secondaryPaths[pair], references: 1)
    } else {
      send(packets.make(metadata, frame: frame, references: 2), &primaryPaths[pair], references: 2)
      send(packets.make(metadata, frame: frame, references: 1), &secondaryPaths[pair], references: 1)
    }
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
    require(flow.next == metadata.counter && !flow.isClosing, .slots) {
      "flow \(flow.flowID) is stamped \(metadata.counter), not \(flow.next)"
    }
    if metadata.layout.isCloseMarker { flow.isClosing = true }
    flow.stamp(FlowHistory.Stamped(frame: frame, layout: metadata.layout, time: metadata.time))
    trace(
      "stamper: (\(metadata.flowID), \(metadata.counter))\(metadata.layout.isCloseMarker ? " close" : "") to pair \(pair)")
  }

  private func send(_ packet: Packet, _ path: inout PacketPath, references: Int) {
    events.add(.arrival, at: path.due(self), target: path.index, payload: UInt64(UInt(bitPattern: packet)))
    guard hasFaults, options.faults.contains(.duplication), random.oneIn(options.packetFaults) else { return }
    occurrences.note(.duplication)
    let block = SimulatedPacket.of(packet)
    let copy = packets.make(packet.pointee, frame: block.pointee.frame, references: references, isCopy: true)
    var due = path.due(self)
    if random.oneIn(4) { due += random.below(options.faultInterval) }
    events.add(.arrival, at: due, target: path.index, payload: UInt64(UInt(bitPattern: copy)))
  }

  /// A packet comes out of a path.
  func arrive(_ path: Int, _ packet: Packet) {
    let pair = path / 3
    switch path % 3 {
    case 0:
      primaryPaths[pair].inFlight -= 1
      let actor = primaries[pair]
      require(packets.move(packet, from: 0, to: actor.node + 1, 2), .packetMemory) { "a path gave \(text(packet)) away" }
      actor.input.append(packet)
      wake(actor.index)
    case 1:
      secondaryPaths[pair].inFlight -= 1
      let actor = secondaries[pair]
      require(packets.move(packet, from: 0, to: actor.node + 1, 1), .packetMemory) { "a path gave \(text(packet)) away" }
      actor.input.append(packet)
      wake(actor.index)
    default:
      releasePaths[pair].inFlight -= 1
      egress.arrive(packet, pair: pair)
      wake(egress.index)
    }
  }

  /// A released packet, and with it egress's reference.
  func sendToEgress(_ packet: Packet, pair: Int, from holder: Holder) {
    require(packets.move(packet, from: holder, to: 0, 1), .packetMemory) {
      "\(text(packet)) is released without a reference"
    }
    SimulatedPacket.of(packet).pointee.place = egress.nextPlace(pair)
    SimulatedPacket.of(packet).pointee.isCopy = false
    events.add(
      .arrival, at: releasePaths[pair].due(self), target: 3 * pair + 2, payload: UInt64(UInt(bitPattern: packet)))
    guard hasFaults, options.faults.contains(.duplication), random.oneIn(options.packetFaults * 2) else { return }
    let block = SimulatedPacket.of(packet)
    let copy = packets.make(packet.pointee, frame: block.pointee.frame, references: 1, isCopy: true)
    events.add(.arrival, at: releasePaths[pair].due(self), target: 3 * pair + 2, payload: UInt64(UInt(bitPattern: copy)))
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
