import DEFTCore
import DEFTWire

/// Egress, as `EgressStage` is on an lcore: follows the chains, transmits, acknowledges to each pair.
final class EgressActor: Actor {
  unowned let simulation: Simulation
  let index: Int
  /// Which of the egresses that have been it is.
  private let number: Int
  private(set) var isGone = false
  /// By pair: what the primary has told, and where flows begin by it.
  private var beginnings: [EgressBeginning]
  private var told: [[Int: EgressEntry]]
  var chain: EgressChain<SimulatedStorage>
  /// Released packets by pair, in order of arrival.
  private var rings: [Fifo<(packet: Packet, tag: ReleaseTag)>]
  private var nextPair = 0
  /// Of the packets that the chain holds.
  private var heldTags: [Packet: ReleaseTag] = [:]
  private let ledgers: UnsafeMutablePointer<ReleaseLedger>
  private var said: [(stream: UInt32, count: UInt64)]
  var name: String { number == 1 ? "egress" : "egress.\(number)" }

  /// - Parameter terms: which egress of each pair it is (R12).
  init(_ simulation: Simulation, index: Int, number: Int, terms: [UInt32]) {
    self.simulation = simulation
    self.index = index
    self.number = number
    let pairs = terms.count
    beginnings = terms.map { EgressBeginning(term: $0) }
    told = [[Int: EgressEntry]](repeating: [:], count: pairs)
    chain = EgressChain(
      layout: simulation.layout, holdCapacity: simulation.options.egressHold, memory: simulation.arena.allocate)
    rings = [Fifo<(packet: Packet, tag: ReleaseTag)>](repeating: Fifo(), count: pairs)
    ledgers = .allocate(capacity: pairs)
    for pair in 0..<pairs {
      (ledgers + pair).initialize(to: ReleaseLedger(capacity: 256, memory: simulation.arena.allocate))
    }
    said = [(stream: UInt32, count: UInt64)](repeating: (0, 0), count: pairs)
  }
  deinit {
    ledgers.deinitialize(count: rings.count)
    ledgers.deallocate()
  }

  /// With all that it has.
  func die() {
    isGone = true
    for pair in rings.indices {
      while !rings[pair].isEmpty { simulation.giveBack(rings[pair].removeFirst().packet, 0, 1, name) }
    }
    for packet in heldTags.keys { simulation.giveBack(packet, 0, 1, name) }
    heldTags = [:]
  }

  func succeeding(_ index: Int, terms: [UInt32]) -> EgressActor {
    EgressActor(simulation, index: index, number: number + 1, terms: terms)
  }

  func term(_ pair: Int) -> UInt32 { beginnings[pair].term }
  func isTold(_ pair: Int) -> Bool { beginnings[pair].isTold }
  /// The stream of the primary that it goes by; 0: none has told it anything.
  func teller(_ pair: Int) -> UInt32 { beginnings[pair].teller }

  /// Both replicas of the pair were lost: what is here of theirs goes.
  private func beginAnew(_ pair: Int) {
    simulation.occurrences.note(.egressBegunAnew)
    simulation.trace("\(name): begins anew with pair \(pair), term \(term(pair))")
    told[pair] = [:]
    while !rings[pair].isEmpty {
      simulation.occurrences.note(.lateRelease)
      simulation.giveBack(rings[pair].removeFirst().packet, 0, 1, name)
    }
  }

  private func begin(_ entry: EgressEntry) {
    while let packet = chain.takeAbandoned(flowIndex: simulation.layout.index(entry.flowID)) {
      simulation.occurrences.note(.heldAbandoned)
      heldTags[packet] = nil
      simulation.giveBack(packet, 0, 1, name)
    }
    chain.begin(entry)
  }

  /// A primary says where its flows begin.
  func receive(_ telling: Telling) {
    let pair = telling.pair
    if beginnings[pair].beginsAnew(term: telling.term) { beginAnew(pair) }
    if beginnings[pair].takes(stream: telling.stream, attempt: telling.attempt, number: telling.number) {
      if telling.number == 0 {
        for index in told[pair].keys { chain.forgetBeginning(flowIndex: index) }
        told[pair] = [:]
      }
      for entry in telling.entries {
        begin(entry)
        told[pair][simulation.layout.index(entry.flowID)] = entry
      }
      if telling.isComplete {
        beginnings[pair].finish()
        ledgers[pair].begin(telling.stream, acknowledged: telling.acknowledged)
        simulation.noteTold(telling, told[pair])
      }
    }
    guard telling.isComplete, beginnings[pair].isTold else { return }
    simulation.answer(telling, isFirst: beginnings[pair].teller == telling.stream)
  }

  var isIdle: Bool { chain.heldCount == 0 && rings.allSatisfy(\.isEmpty) }
  func room(_ pair: Int) -> Int {
    simulation.options.releaseRing - rings[pair].count - simulation.releasePaths[pair].inFlight
  }
  func arrive(_ packet: Packet, _ tag: ReleaseTag) { rings[Int(tag.pair)].append((packet, tag)) }

  func poll() -> Int {
    nextPair = nextPair + 1 == rings.count ? 0 : nextPair + 1
    let count = beginnings[nextPair].isTold ? min(simulation.options.burst, rings[nextPair].count) : 0
    decideBurst((0..<count).map { _ in rings[nextPair].removeFirst() })
    acknowledge()
    return count
  }

  /// As the lcore's stage does: the plain ones at once, then one by one from the first that is not.
  private func decideBurst(_ burst: [(packet: Packet, tag: ReleaseTag)]) {
    let plain = burst.map(\.packet).withUnsafeBufferPointer { packets in
      packets.baseAddress.map { chain.decidePlain($0, count: packets.count) } ?? 0
    }
    for (packet, tag) in burst[..<plain] {
      simulation.checkTransmitted(packet)
      settle(packet, tag)
    }
    for (packet, tag) in burst[plain...] { decide(packet, tag) }
  }

  private func decide(_ packet: Packet, _ tag: ReleaseTag) {
    switch chain.decide(packet) {
    case .transmit, .forget:
      simulation.checkTransmitted(packet)
      while let held = chain.nextHeld(after: packet) {
        simulation.checkTransmitted(held)
        settle(held, heldTags.removeValue(forKey: held)!)
      }
      settle(packet, tag)
    case .suppress:
      simulation.occurrences.note(.egressSuppressed)
      simulation.trace("egress: suppresses \(simulation.text(packet))")
      settle(packet, tag)
    case .hold:
      simulation.occurrences.note(.egressHeld)
      simulation.trace("egress: holds \(simulation.text(packet))")
      heldTags[packet] = tag
    case .refuse:
      // It is not acknowledged, so it comes again (R2).
      simulation.occurrences.note(.egressRefused)
      simulation.trace("egress: refuses \(simulation.text(packet))")
      simulation.giveBack(packet, 0, 1, name)
    }
    simulation.checkEgressBounds()
  }

  private func settle(_ packet: Packet, _ tag: ReleaseTag) {
    ledgers[Int(tag.pair)].settle(stream: tag.stream, from: tag.sequence, count: 1)
    simulation.giveBack(packet, 0, 1, name)
  }

  private func acknowledge() {
    for pair in rings.indices {
      let (stream, count) = (ledgers[pair].stream, ledgers[pair].acknowledged)
      guard said[pair] != (stream, count), let actor = simulation.primary(pair, stream: stream) else { continue }
      said[pair] = (stream, count)
      let due = simulation.now + 1 + simulation.random.below(simulation.options.pathLatency)
      simulation.events.add(.acknowledgement, at: due, target: actor.index, payload: UInt64(term(pair)) << 48 | count)
    }
  }
}
