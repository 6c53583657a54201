import DEFTCore
import DEFTWire

// Nothing is released before its vote; a vote means that the voter holds all that the packet clock covers, and a packet
// clock names exactly what the primary has taken.
extension Simulation {
  func checkTaken(_ packet: Packet, by actor: PrimaryActor) {
    guard let flow = flow(packet.pointee.flowID) else {
      return fail(.packetClock, "\(actor.name) takes \(text(packet)), a flow that was never stamped")
    }
    require(flow.hold(packet.pointee.counter, actor.mark), .packetClock) {
      "\(actor.name) takes \(text(packet)) twice"
    }
  }

  func checkHeld(_ packet: Packet, by actor: SecondaryActor) {
    guard let flow = flow(packet.pointee.flowID) else {
      return fail(.voteWithoutPackets, "\(actor.name) holds \(text(packet)), a flow that was never stamped")
    }
    require(flow.hold(packet.pointee.counter, actor.mark), .voteWithoutPackets) {
      "\(actor.name) holds two copies of \(text(packet))"
    }
  }

  func checkPrepare(_ message: UnsafeRawBufferPointer, by actor: PrimaryActor) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    require(header.defect() == nil && Int(header.length) == message.count, .packetClock) { "a malformed prepare \(header)" }
    trace("\(actor.name): prepare \(header.batch), \(header.count) flows")
    forEachClockEntry(message) { entry in
      guard let flow = flow(entry.flowID) else {
        return fail(.packetClock, "prepare \(header.batch) names flow \(entry.flowID), which was never stamped")
      }
      require(entry.next > 1 && flow.firstNotHeld(actor.mark) >= entry.next, .packetClock) {
        "prepare \(header.batch) says flow \(entry.flowID) next \(entry.next); \(flow.firstNotHeld(actor.mark)) is not there"
      }
    }
  }

  func checkVote(through batch: UInt64, by actor: SecondaryActor) {
    trace("\(actor.name): votes \(batch)")
    while let clock = actor.clocks.first, clock.batch <= batch {
      _ = actor.clocks.removeFirst()
      forEachClockEntry(clock.bytes) { entry in
        guard let flow = flow(entry.flowID) else { return }
        require(flow.firstNotHeld(actor.mark) >= entry.next, .voteWithoutPackets) {
          "\(actor.name) votes for batch \(clock.batch) without (\(entry.flowID), \(flow.firstNotHeld(actor.mark)))"
        }
        flow.votedNext = max(flow.votedNext, entry.next)
      }
    }
    require(actor.clocks.first?.batch != batch, .messages) { "a vote for a batch that was not prepared" }
  }

  func checkReleased(_ packet: Packet, by actor: PrimaryActor) {
    trace("\(actor.name): releases \(text(packet))")
    guard let flow = flow(packet.pointee.flowID) else {
      return fail(.releasedBeforeVote, "\(actor.name) releases \(text(packet)), a flow that was never stamped")
    }
    if isDirected { flow.released.append(packet.pointee.counter) }
    let isVoted = packet.pointee.counter < flow.votedNext
    if !isVoted, mayReleaseUnvoted(actor) { return occurrences.note(.unprotected) }
    require(isVoted, .releasedBeforeVote) {
      "\(actor.name) releases \(text(packet)); votes cover what is below \(flow.votedNext)"
    }
  }

  /// R7: the map says that nobody is in sync, and the policy that packets go all the same.
  func mayReleaseUnvoted(_ actor: PrimaryActor) -> Bool {
    map[actor.pair].mayReleaseUnvoted(actor.node.id, epoch: actor.epoch)
  }

  func forEachClockEntry(_ message: UnsafeRawBufferPointer, _ body: (ClockEntry) -> Void) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    for i in 0..<Int(header.count) {
      body(ClockEntry(reading: message.baseAddress! + ControlMessageHeader.byteCount + i * ClockEntry.byteCount))
    }
  }
}
