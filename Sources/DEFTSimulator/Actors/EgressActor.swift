import DEFTCore

/// Egress, as `EgressStage` is on an lcore: follows the chains, transmits, acknowledges to each pair.
final class EgressActor: Actor {
  unowned let simulation: Simulation
  let index: Int
  var chain: EgressChain<SimulatedStorage>
  /// Released packets by pair, in order of arrival.
  private var rings: [Fifo<(packet: Packet, tag: ReleaseTag)>]
  private var nextPair = 0
  /// Of the packets that the chain holds.
  private var heldTags: [Packet: ReleaseTag] = [:]
  private let ledgers: UnsafeMutablePointer<ReleaseLedger>
  private var told: [(stream: UInt32, count: UInt64)]
  var name: String { "egress" }

  init(_ simulation: Simulation, index: Int) {
    self.simulation = simulation
    self.index = index
    let pairs = simulation.options.pairs
    chain = EgressChain(
      layout: simulation.layout, holdCapacity: simulation.options.egressHold, memory: simulation.arena.allocate)
    rings = [Fifo<(packet: Packet, tag: ReleaseTag)>](repeating: Fifo(), count: pairs)
    ledgers = .allocate(capacity: pairs)
    for pair in 0..<pairs {
      (ledgers + pair).initialize(to: ReleaseLedger(capacity: 256, memory: simulation.arena.allocate))
    }
    told = [(stream: UInt32, count: UInt64)](repeating: (0, 0), count: pairs)
  }
  deinit {
    ledgers.deinitialize(count: rings.count)
    ledgers.deallocate()
  }

  var isIdle: Bool { chain.heldCount == 0 && rings.allSatisfy(\.isEmpty) }
  func room(_ pair: Int) -> Int {
    simulation.options.releaseRing - rings[pair].count - simulation.releasePaths[pair].inFlight
  }
  func arrive(_ packet: Packet, _ tag: ReleaseTag) { rings[Int(tag.pair)].append((packet, tag)) }

  func poll() -> Int {
    nextPair = nextPair + 1 == rings.count ? 0 : nextPair + 1
    let count = min(simulation.options.burst, rings[nextPair].count)
    for _ in 0..<count {
      let (packet, tag) = rings[nextPair].removeFirst()
      decide(packet, tag)
    }
    acknowledge()
    return count
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
      guard told[pair] != (stream, count), let actor = simulation.primary(pair, stream: stream) else { continue }
      told[pair] = (stream, count)
      let due = simulation.now + 1 + simulation.random.below(simulation.options.pathLatency)
      simulation.events.add(.acknowledgement, at: due, target: actor.index, payload: count)
    }
  }
}
