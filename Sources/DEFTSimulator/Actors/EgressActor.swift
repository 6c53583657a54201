import DEFTCore

/// Egress, as `EgressStage` is on an lcore: follows the chains, transmits, acknowledges to each pair.
final class EgressActor: Actor {
  unowned let simulation: Simulation
  let index: Int
  var chain: EgressChain<SimulatedStorage>
  /// Released packets by pair, in order of arrival.
  private var rings: [Fifo<Packet>]
  private var nextPair = 0
  /// Per pair and place in the order of release: whether the packet has been dealt with.
  private var isDone: [[Bool]]
  private var acknowledged: [UInt64]
  var name: String { "egress" }

  init(_ simulation: Simulation, index: Int) {
    self.simulation = simulation
    self.index = index
    let pairs = simulation.options.pairs
    chain = EgressChain(
      layout: simulation.layout, holdCapacity: simulation.options.egressHold, memory: simulation.arena.allocate)
    rings = [Fifo<Packet>](repeating: Fifo(), count: pairs)
    isDone = [[Bool]](repeating: [], count: pairs)
    acknowledged = [UInt64](repeating: 0, count: pairs)
  }

  var isIdle: Bool { chain.heldCount == 0 && rings.allSatisfy(\.isEmpty) }
  func room(_ pair: Int) -> Int {
    simulation.options.releaseRing - rings[pair].count - simulation.releasePaths[pair].inFlight
  }
  /// The place of the next packet that the pair releases.
  func nextPlace(_ pair: Int) -> UInt32 {
    isDone[pair].append(false)
    return UInt32(isDone[pair].count - 1)
  }
  func arrive(_ packet: Packet, pair: Int) { rings[pair].append(packet) }

  func poll() -> Int {
    nextPair = nextPair + 1 == rings.count ? 0 : nextPair + 1
    let count = min(simulation.options.burst, rings[nextPair].count)
    for _ in 0..<count { decide(rings[nextPair].removeFirst(), nextPair) }
    acknowledge()
    return count
  }

  private func decide(_ packet: Packet, _ pair: Int) {
    let place = SimulatedPacket.of(packet).pointee.place
    switch chain.decide(packet) {
    case .transmit, .forget:
      leave(packet)
      while let held = chain.nextHeld(after: packet) {
        leave(held)
        finish(held, pair, SimulatedPacket.of(held).pointee.place)
      }
      finish(packet, pair, place)
    case .suppress:
      simulation.occurrences.note(.egressSuppressed)
      simulation.trace("egress: suppresses \(simulation.text(packet))")
      finish(packet, pair, place)
    case .hold:
      simulation.occurrences.note(.egressHeld)
      simulation.trace("egress: holds \(simulation.text(packet))")
    case .refuse:
      // The releaser sends it again (R2).
      simulation.occurrences.note(.egressRefused)
      rings[pair].append(packet)
    }
    simulation.checkEgressBounds()
  }

  private func leave(_ packet: Packet) { simulation.checkTransmitted(packet) }

  private func finish(_ packet: Packet, _ pair: Int, _ place: UInt32) {
    if !SimulatedPacket.of(packet).pointee.isCopy { isDone[pair][Int(place)] = true }
    simulation.giveBack(packet, 0, 1, name)
  }

  private func acknowledge() {
    for pair in rings.indices {
      let before = acknowledged[pair]
      while acknowledged[pair] < isDone[pair].count, isDone[pair][Int(acknowledged[pair])] { acknowledged[pair] += 1 }
      guard acknowledged[pair] != before else { continue }
      let due = simulation.now + 1 + simulation.random.below(simulation.options.pathLatency)
      simulation.events.add(.acknowledgement, at: due, target: pair, payload: acknowledged[pair])
    }
  }
}
