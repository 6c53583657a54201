import DEFTCore
import DEFTWire

// R5: what is declared lost was lost on every way to a replica that lives; a vote makes it permanent; nobody says "not held"
// of what it holds.
extension Simulation {
  /// A copy of the packet did not arrive, or found no room.
  func noteLostCopy(_ packet: Packet) { flow(packet.pointee.flowID)?.noteLostCopy(packet.pointee.counter) }

  /// The secondary has just written what it does not hold: none of that may be here, in the hold or before it.
  func checkDenials(_ log: SimulatedLog, by actor: SecondaryActor) {
    while log.seen < log.messages.count {
      let bytes = log.messages[log.seen].bytes
      log.seen += 1
      forEachDenied(bytes) { range in
        var isHeld = false
        actor.replica.forEachHeld { isHeld = isHeld || range.contains($0.pointee.flowID, $0.pointee.counter) }
        require(!isHeld, .lostTruly) { "\(actor.name) denies \(range), some of which it holds" }
        guard actor.replica.room > 0 else { return }
        let waits = actor.input.waiting.contains { range.contains($0.pointee.flowID, $0.pointee.counter) }
        require(!waits, .lostTruly) { "\(actor.name) denies \(range), which waits in its input" }
      }
    }
  }

  /// A control thread reads what its lcore says of gaps.
  func noteRepair(_ message: UnsafeRawBufferPointer, by name: String) {
    guard isTraced else { return }
    let header = ControlMessageHeader(reading: message.baseAddress!)
    let body = message.baseAddress! + ControlMessageHeader.byteCount
    switch ControlMessageHeader.Kind(rawValue: header.kind) {
    case .missing:
      forEachDenied(message) { trace("\(name): does not hold (\($0.flowID), \($0.from)..<\($0.end))") }
    case .want:
      for i in 0..<Int(header.count) {
        let range = PacketRange(reading: body + i * PacketRange.byteCount)
        trace("\(name): asks for (\(range.flowID), \(range.from)..<\(range.end))")
      }
    case .uncovered:
      for i in 0..<Int(header.count) {
        let entry = ClockEntry(reading: body + i * ClockEntry.byteCount)
        trace("\(name): holds flow \(entry.flowID) below \(entry.next), and no state clock covers it")
      }
    default: break
    }
  }

  /// A primary declares a packet lost that nobody else has to be told of.
  func noteDeclared(_ range: PacketRange, by actor: PrimaryActor) {
    checkDeclared(range, by: actor)
    if map[actor.pair].standing != .inSync, primary(actor.pair) === actor { bindLost(range) }
  }

  /// The secondary has failed: what the primary has declared, and nobody has voted for, stands.
  func bindDeclared(_ pair: Int) {
    guard let mark = primary(pair)?.mark else { return }
    for generations in allFlows {
      for flow in generations where flow.pair == pair {
        for counter in flow.declared(by: mark).sorted() {
          bindLost(PacketRange(flowID: flow.flowID, from: counter, count: 1))
        }
      }
    }
  }

  /// A prepare declares packets lost.
  func checkDeclared(_ range: PacketRange, by actor: PrimaryActor) {
    guard let flow = flow(range.flowID) else {
      return fail(.lostTruly, "\(actor.name) declares \(range) lost, which was never stamped")
    }
    // A successor says again what votes have bound, be there a copy of it or not.
    for counter in range.from..<range.end where !flow.lost.contains(counter) {
      flow.declareLost(counter, actor.mark)
      let denials = actor.denials.count(range.flowID, counter)
      require(actor.replica.standing == .none || denials >= 2, .lostTruly) {
        "\(actor.name) declares (\(range.flowID), \(counter)) lost, which its secondary has denied \(denials) times"
      }
      checkDrained(flow, counter, actor)
      // The one allowance for what a replica that lives has: a former primary of the pair, of which nobody can know whether it
      // lives, has not brought it within the time-out (R8). What it brings later is a double. Too rare to be a `Transition`.
      if isTraced, isBroughtBySomebody(range.flowID, counter, to: actor) {
        trace("a former primary brings (\(range.flowID), \(counter)) too late")
      }
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
      for flow in generations where flow.endedIn == nil {
        while flow.next > 1, isUnknowable(flow.next - 1, flow) {
          trace("nobody can know of (\(flow.flowID), \(flow.next - 1))")
          flow.forgetLast()
        }
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

/// Calls `body` with what a message says that its sender does not hold; of other messages with nothing.
func forEachDenied(_ message: UnsafeRawBufferPointer, _ body: (PacketRange) -> Void) {
  let header = ControlMessageHeader(reading: message.baseAddress!)
  guard header.kind == ControlMessageHeader.Kind.missing.rawValue else { return }
  for i in 0..<Int(header.count) {
    body(PacketRange(reading: message.baseAddress! + ControlMessageHeader.byteCount + i * PacketRange.byteCount))
  }
}

/// How often a primary's secondary has said of each packet that it does not hold it.
struct Denials {
  private var counts: [UInt64: Int] = [:]

  mutating func note(_ message: UnsafeRawBufferPointer, epoch: UInt32) {
    guard ControlMessageHeader(reading: message.baseAddress!).epoch == epoch else { return }
    forEachDenied(message) { range in
      for counter in range.from..<range.end { counts[Denials.key(range.flowID, counter), default: 0] += 1 }
    }
  }
  func count(_ flowID: UInt32, _ counter: UInt32) -> Int { counts[Denials.key(flowID, counter)] ?? 0 }
  private static func key(_ flowID: UInt32, _ counter: UInt32) -> UInt64 { UInt64(flowID) << 32 | UInt64(counter) }
}
