import DEFTCore
import DEFTWire

// Nothing is released before its vote; a vote means that the voter holds all that the packet clock covers, and a packet
// clock names exactly what the primary has taken.
extension Simulation {
  func checkTaken(_ packet: Packet, by actor: PrimaryActor) {
    guard let flow = flow(packet.pointee.flowID) else {
      if isCutOff(packet.pointee.flowID, for: actor) { return }
      return fail(.packetClock, "\(actor.name) takes \(text(packet)), a flow that was never stamped")
    }
    // Of what it only keeps it looks at none (R18), whatever it is of: that is given back where it is processed in the end, be
    // it here or where it is forwarded to. (That it goes no further, the prepares say.)
    if !actor.onlyKeeps(group(flow.flowID)) { checkNotEnded(flow, by: actor, "takes a packet of") }
    _ = flow.hold(packet.pointee.counter, actor.mark)
  }

  func checkHeld(_ packet: Packet, by actor: SecondaryActor) {
    guard let flow = flow(packet.pointee.flowID) else {
      if isCutOff(packet.pointee.flowID, for: actor) { return }
      return fail(.voteWithoutPackets, "\(actor.name) holds \(text(packet)), a flow that was never stamped")
    }
    _ = flow.hold(packet.pointee.counter, actor.mark)
  }

  func checkPrepare(_ message: UnsafeRawBufferPointer, by actor: PrimaryActor) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    require(header.defect() == nil && Int(header.length) == message.count, .packetClock) { "a malformed prepare \(header)" }
    // Parts of a snapshot, and of groups that move, go the same way (R9, R11).
    guard header.kind == ControlMessageHeader.Kind.prepare.rawValue else { return }
    trace("\(actor.name): prepare \(header.batch), \(header.count) flows")
    forEachLost(message) { checkDeclared($0, by: actor) }
    forEachClockEntry(message) { entry in
      if isCutOff(entry.flowID, for: actor) { return }
      guard let flow = flow(entry.flowID) else {
        return fail(.packetClock, "prepare \(header.batch) names flow \(entry.flowID), which was never stamped")
      }
      checkOwner(of: flow, actor)
      checkNotEnded(flow, by: actor, "decides on")
      require(entry.next > 1 && flow.firstNotHeld(actor.mark, declared: true) >= entry.next, .packetClock) {
        "prepare \(header.batch) says flow \(entry.flowID) next \(entry.next); \(flow.firstNotHeld(actor.mark)) is not there"
      }
    }
  }

  func checkVote(through batch: UInt64, by actor: SecondaryActor) {
    trace("\(actor.name): votes \(batch)")
    while let clock = actor.clocks.first, clock.batch <= batch {
      _ = actor.clocks.removeFirst()
      forEachLost(clock.bytes) { bindLost($0) }
      forEachClockEntry(clock.bytes) { entry in
        guard let flow = flow(entry.flowID) else { return }
        require(flow.firstNotHeld(actor.mark) >= entry.next, .voteWithoutPackets) {
          "\(actor.name) votes for batch \(clock.batch) without (\(entry.flowID), \(flow.firstNotHeld(actor.mark)))"
        }
        if actor.isCounted { return flow.votedNext = max(flow.votedNext, entry.next) }
        actor.link.earlyVotes[entry.flowID] = max(actor.link.earlyVotes[entry.flowID] ?? 0, entry.next)
      }
    }
    require(actor.clocks.first?.batch != batch, .messages) { "a vote for a batch that was not prepared" }
  }

  func checkReleased(_ packet: Packet, _ sequence: UInt64, by actor: PrimaryActor) {
    trace("\(actor.name): releases \(text(packet))")
    guard let flow = flow(packet.pointee.flowID) else {
      return fail(.releasedBeforeVote, "\(actor.name) releases \(text(packet)), a flow that was never stamped")
    }
    if isDirected { flow.released.append(packet.pointee.counter) }
    let last = actor.lastReleased.updateValue(packet.pointee.counter, forKey: flow.flowID) ?? 0
    require(last < packet.pointee.counter, .flowOrder) { "\(actor.name) releases \(text(packet)) after \(last)" }
    let isVoted = packet.pointee.counter < flow.votedNext
    if !isVoted, mayReleaseUnvoted(actor) || isExcused(packet, sequence, actor) { return occurrences.note(.unprotected) }
    require(isVoted, .releasedBeforeVote) {
      "\(actor.name) releases \(text(packet)); votes cover what is below \(flow.votedNext)"
    }
  }

  /// While a secondary syncs under `hold`: what its failed predecessor had not voted for goes when the sync begins; and what
  /// it has voted for itself goes if the primary has no room left otherwise. Both are counted.
  private func isExcused(_ packet: Packet, _ sequence: UInt64, _ actor: PrimaryActor) -> Bool {
    guard map[actor.pair].primary == actor.node.id, map[actor.pair].standing != .inSync else { return false }
    if sequence < actor.passedBeforeSync { return true }
    let flowID = packet.pointee.flowID
    let early = max(actor.link?.earlyVotes[flowID] ?? 0, actor.formerVotes[flowID] ?? 0)
    return packet.pointee.counter < early
  }

  /// The map says that the secondary is in sync: what it has voted for counts from now on, be it dead or alive.
  func countEarlyVotes(_ pair: Int) {
    let link = link(pair, epoch: map[pair].epoch)
    for (flowID, next) in link.earlyVotes {
      if let flow = flow(flowID) { flow.votedNext = max(flow.votedNext, next) }
    }
    link.earlyVotes = [:]
    secondary(pair)?.countVotes()
  }

  /// R7: the map says that nobody is in sync, and the policy that packets go all the same.
  func mayReleaseUnvoted(_ actor: PrimaryActor) -> Bool {
    // It may not have learnt yet that one has begun to sync.
    let assignment = map[actor.pair]
    return assignment.mayReleaseUnvoted(actor.node.id, epoch: assignment.epoch)
  }

  func forEachClockEntry(_ message: UnsafeRawBufferPointer, _ body: (ClockEntry) -> Void) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    for i in 0..<Int(header.count) {
      body(ClockEntry(reading: message.baseAddress! + ControlMessageHeader.byteCount + i * ClockEntry.byteCount))
    }
  }
}
