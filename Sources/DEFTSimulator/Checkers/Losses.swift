import DEFTCore
import DEFTWire

// R5: what is declared lost was lost on every way to a replica that lives; a vote makes it permanent; nobody says "not held"
// of what it holds.
extension Simulation {
  /// A copy of the packet did not arrive, or found no room.
  func noteLostCopy(_ packet: Packet) { flow(packet.pointee.flowID)?.noteLostCopy(packet.pointee.counter) }

  /// The secondary's control thread reads what its lcore says of gaps.
  func checkDenial(_ message: UnsafeRawBufferPointer, by actor: SecondaryActor) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    guard header.kind == ControlMessageHeader.Kind.missing.rawValue else { return }
    for i in 0..<Int(header.count) {
      let range = PacketRange(
        reading: message.baseAddress! + ControlMessageHeader.byteCount + i * PacketRange.byteCount)
      trace("\(actor.name): does not hold \(range)")
    }
  }

  /// A primary declares a packet lost that nobody else has to be told of.
  func noteDeclared(_ range: PacketRange, by actor: PrimaryActor) {
    checkDeclared(range, by: actor)
    if map[actor.pair].standing != .inSync { bindLost(range) }
  }

  /// A prepare declares packets lost.
  func checkDeclared(_ range: PacketRange, by actor: PrimaryActor) {
    guard let flow = flow(range.flowID) else {
      return fail(.lostTruly, "\(actor.name) declares \(range) lost, which was never stamped")
    }
    for counter in range.from..<range.end {
      flow.declaredLost.insert(counter)
      let wasLost = flow.hasLostCopy(counter) || options.faults.contains(.delay) || options.faults.contains(.duplication)
      require(wasLost && !flow.isHeld(counter, actor.mark), .lostTruly) {
        "\(actor.name) declares (\(range.flowID), \(counter)) lost"
          + (flow.isHeld(counter, actor.mark) ? ", which it holds" : ", which was lost nowhere")
      }
    }
    trace("\(actor.name): declares \(range) lost")
  }

  /// A vote, or the lack of anybody who could, makes a loss permanent.
  func bindLost(_ range: PacketRange) {
    guard let flow = flow(range.flowID) else { return }
    for counter in range.from..<range.end where !flow.lost.contains(counter) {
      require(counter > flow.out, .lostTruly) { "(\(range.flowID), \(counter)) is bound lost, and \(flow.out) is out" }
      flow.lose(counter)
    }
  }

  func forEachLost(_ message: UnsafeRawBufferPointer, _ body: (PacketRange) -> Void) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    let start = message.baseAddress! + ControlMessageHeader.byteCount + Int(header.count) * ClockEntry.byteCount
    for i in 0..<Int(header.detail) { body(PacketRange(reading: start + i * PacketRange.byteCount)) }
  }

  /// At rest: the last packets of a flow may be lost with every replica that had them, and nothing tells of them.
  func forgetUnknowable() {
    for generations in allFlows {
      for flow in generations {
        while flow.next > 1, isUnknowable(flow.next - 1, flow) { flow.forgetLast() }
      }
    }
  }

  private func isUnknowable(_ counter: UInt32, _ flow: FlowHistory) -> Bool {
    guard flow.hasLostCopy(counter), counter >= flow.votedNext, counter > flow.out, !flow.lost.contains(counter) else {
      return false
    }
    let marks = [primary(flow.pair)?.mark, secondary(flow.pair)?.mark].compactMap { $0 }
    return !marks.contains { flow.isHeld(counter, $0) }
  }
}
