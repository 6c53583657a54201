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

  func noteApplied(_ message: UnsafeRawBufferPointer) {
    forEachState(message) { entry, _ in
      guard let flow = flow(entry.flowID) else { return }
      require(entry.next <= flow.votedNext, .stateClock) {
        "flow \(entry.flowID) next \(entry.next) is applied, votes cover what is below \(flow.votedNext)"
      }
      flow.appliedNext = max(flow.appliedNext, entry.next)
    }
  }

  /// The primary gives up an original.
  func checkFreed(_ packet: Packet, isDropped: Bool, by actor: PrimaryActor) {
    guard let flow = flow(packet.pointee.flowID) else { return fail(.packetMemory, "\(text(packet)) is freed") }
    let counter = packet.pointee.counter
    let isDecided = counter < flow.votedNext || mayReleaseUnvoted(actor)
    require(isDecided && (isDropped || counter <= flow.out), .freedTooEarly) {
      "\(actor.name) frees \(text(packet)); \(flow.out) is out, votes cover what is below \(flow.votedNext)"
    }
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
