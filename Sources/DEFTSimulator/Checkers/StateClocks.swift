import DEFTCore
import DEFTWire

// R2, R3, R10: a state clock is what one sequential run gives after exactly the packets that it covers; it is sent only when
// egress has what it covers, and nothing is freed before.
extension Simulation {
  func checkStateClock(_ message: UnsafeRawBufferPointer) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    require(header.defect() == nil && Int(header.length) == message.count, .stateClock) { "a malformed commit \(header)" }
    trace("state clock of batch \(header.batch), \(header.count) flows")
    forEachState(message) { entry, bytes in
      guard let point = flow(entry.flowID)?.point(before: entry.next, options.function) else {
        return fail(.stateClock, "commit \(header.batch): flow \(entry.flowID) next \(entry.next) was never stamped")
      }
      let state = bytes.loadUnaligned(as: SimulatedFunction.State.self)
      let isRight =
        point.state == state && point.lastPassed == entry.lastPassed && point.time == entry.time
        && point.isClosed == (entry.isClosed == 1)
      require(isRight, .stateClock) { "commit \(header.batch): \(entry) \(state) should be \(point)" }
    }
  }

  /// A commit goes on the wire.
  func checkCommitSent(_ message: UnsafeRawBufferPointer, pair: Int) {
    forEachState(message) { entry, _ in
      guard let flow = flow(entry.flowID) else { return }
      require(flow.out >= entry.lastPassed, .commitTooEarly) {
        "pair \(pair) commits flow \(entry.flowID) next \(entry.next); egress has let out \(flow.out) of \(entry.lastPassed)"
      }
    }
  }

  /// A part of a snapshot: each entry is a run of exactly the packets below its `next` (R9).
  func noteBase(_ message: UnsafeRawBufferPointer, by actor: SecondaryActor) {
    trace("\(actor.name): part \(ControlMessageHeader(reading: message.baseAddress!).batch) of the snapshot")
    forEachState(message) { entry, bytes in
      if entry.isClosed == 1, entry.next == 1, noteFloorInSnapshot(entry.flowID) { return }
      guard let flow = flow(entry.flowID), let point = flow.point(before: entry.next, options.function) else {
        return fail(.stateClock, "a snapshot has flow \(entry.flowID) next \(entry.next), which was never stamped")
      }
      let state = bytes.loadUnaligned(as: SimulatedFunction.State.self)
      require(point.state == state && point.lastPassed == entry.lastPassed, .stateClock) {
        "a snapshot says of flow \(entry.flowID) \(entry) \(state), which should be \(point)"
      }
      flow.holdAll(below: entry.next, actor.mark)
      flow.appliedNext = max(flow.appliedNext, entry.next)
      // Copies of earlier generations may be here: those are over, or this one could not have begun (R16).
      for earlier in allFlows[layout.index(entry.flowID)] {
        if earlier === flow { break }
        earlier.appliedNext = earlier.next
      }
    }
  }

  func noteApplied(_ message: UnsafeRawBufferPointer, by actor: SecondaryActor) {
    forEachState(message) { entry, _ in
      guard let flow = flow(entry.flowID) else { return }
      let voted = max(flow.votedNext, actor.link.earlyVotes[entry.flowID] ?? 0)
      require(entry.next <= voted, .stateClock) {
        "flow \(entry.flowID) next \(entry.next) is applied, votes cover what is below \(voted)"
      }
      flow.appliedNext = max(flow.appliedNext, entry.next)
    }
  }

  /// The primary gives up an original.
  func checkFreed(_ packet: Packet, isDropped: Bool, by actor: PrimaryActor) {
    guard let flow = flow(packet.pointee.flowID) else { return fail(.packetMemory, "\(text(packet)) is freed") }
    let counter = packet.pointee.counter
    // What was released without a vote is freed when egress has it.
    let isDecided = counter < flow.votedNext || map[actor.pair].epoch > 1
    require(isDecided && (isDropped || counter <= flow.out || hadLeft(flow, counter, actor)), .freedTooEarly) {
      "\(actor.name) frees \(text(packet)); \(flow.out) is out, votes cover what is below \(flow.votedNext)"
    }
  }

  /// A primary that has been succeeded and does not know it may hear late from the egress of its time that this has let something
  /// out. Its successor has not heard so, and has told the next egress to begin before that: `out` is back there, though the
  /// earlier word stays true. What was voted for the successor holds since its promise (R6), and is bound by `out` itself; nobody
  /// depends on the copy of the one before, which would give it back as well on stepping down (R8). Seed 27004.
  private func hadLeft(_ flow: FlowHistory, _ counter: UInt32, _ actor: PrimaryActor) -> Bool {
    let before = flow.outBefore
    return counter <= before.counter && before.pair == actor.pair && before.stream > actor.stream
  }

  /// The secondary gives up a copy.
  func checkCopyFreed(_ packet: Packet) {
    guard let flow = flow(packet.pointee.flowID) else { return fail(.packetMemory, "\(text(packet)) is freed") }
    require(packet.pointee.counter < flow.appliedNext, .freedTooEarly) {
      "the secondary frees \(text(packet)); state clocks cover what is below \(flow.appliedNext)"
    }
  }

  private func forEachState(_ message: UnsafeRawBufferPointer, _ body: (StateEntry, UnsafeRawPointer) -> Void) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    for i in 0..<Int(header.count) {
      let place = message.baseAddress! + ControlMessageHeader.byteCount + i * Int(header.detail)
      body(StateEntry(reading: place), place + StateEntry.byteCount)
    }
  }
}
