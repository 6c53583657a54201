import DEFTCore
import DEFTWire

/// A stamping unit with its switch, and the source of its packets, as `StamperStage` is on an lcore.
final class StamperActor: Actor {
  unowned let simulation: Simulation
  let index: Int
  let unit: Int
  private var stamper: StampingUnit
  private let keys: [Int]
  private let seed: UInt64
  private(set) var remaining: Int
  private var nextBurst: UInt64 = 0
  /// This host's clock minus the simulation's, ns.
  var clockOffset: Int64
  /// What it knows of the map, by pair.
  private var rules: [PairAssignment]
  /// Flows whose close has been stamped, and whose slots have not come back.
  private var closing: [Closing] = []
  private struct Closing {
    var marker: PacketMetadata
    var sent: UInt64
  }
  var name: String { "stamper \(unit)" }

  init(_ simulation: Simulation, index: Int, unit: Int, keys: [Int], packets: Int) {
    self.simulation = simulation
    self.index = index
    self.unit = unit
    self.keys = keys
    seed = simulation.random.next()
    remaining = keys.isEmpty || simulation.isDirected ? 0 : packets
    clockOffset = Int64(simulation.random.below(UInt64(100_000)))
    rules = (0..<simulation.options.pairs).map { simulation.map[$0] }
    stamper = StampingUnit(
      unit: unit, layout: simulation.layout, seed: seed, idleTimeout: simulation.options.idleTimeout,
      memory: simulation.arena.allocate)
  }

  var occupied: Int { stamper.table.slots.occupied }
  private var clock: UInt64 { UInt64(Int64(simulation.now) + 1_000_000 + clockOffset) }

  func poll() -> Int {
    var moved = 0
    if stamper.sweepIsDue(now: clock) {
      moved += sweep()
      askForSlots()
    }
    guard remaining > 0, simulation.now >= nextBurst else { return moved }
    nextBurst = simulation.now + simulation.random.around(simulation.options.burstGap)
    var count = min(remaining, 1 + simulation.random.below(simulation.options.burst))
    while count > 0 {
      guard stamp() else { break }
      count -= 1
      moved += 1
    }
    return moved
  }

  var credit: Int { simulation.leastCredit(rules) }

  private func sweep() -> Int {
    // A marker needs a credit like any packet, and which pair it goes to is not known before.
    let capacity = min(4, credit)
    guard capacity > 0 else { return 0 }
    return withUnsafeTemporaryAllocation(of: ClockEntry.self, capacity: 4) { markers in
      let count = stamper.sweep(now: clock, into: markers.baseAddress!, capacity: capacity)
      for marker in markers[..<count] {
        var layout = FrameLayout.opaque
        layout.isCloseMarker = true
        let metadata = PacketMetadata(time: clock, flowID: marker.flowID, counter: marker.next, layout: layout)
        closing.append(Closing(marker: metadata, sent: simulation.now))
        simulation.send(metadata, simulation.arena.allocate(8, alignment: 8), rules)
      }
      return count
    }
  }

  /// False: the source has to wait.
  private func stamp() -> Bool {
    let content = simulation.random.next()
    let frame = simulation.arena.allocate(SimulatedPacket.frameBytes, alignment: 8)
    var (key, layout) = SimulatedFrame.write(
      to: frame, key: keys[simulation.random.below(keys.count)], content: content, &simulation.random)
    guard credit > 0 else { return waitOrDrop(simulation.isPoolEmpty ? .poolEmpty : .noCredit) }
    guard let record = stamper.table.find(&key, hash: key.hash(seed: seed)) else {
      return waitOrDrop(.noSlot, mustDrop: true)
    }
    let flowID = record.pointee.flowID
    let counter = stamper.take(record, now: clock)
    remaining -= 1
    simulation.send(PacketMetadata(time: clock, flowID: flowID, counter: counter, layout: layout), frame, rules)
    return true
  }

  /// A scenario's packet: of that connection, dropped by the NF or not. Returns its flow; nil: no room.
  func stamp(_ number: Int, isDropped: Bool) -> UInt32? {
    let content = simulation.random.next() | 0xff ^ (isDropped ? 0xff : 0)
    let frame = simulation.arena.allocate(SimulatedPacket.frameBytes, alignment: 8)
    var (key, layout) = SimulatedFrame.write(
      to: frame, key: number, content: isDropped ? content & ~0xff : content, &simulation.random)
    guard credit > 0, let record = stamper.table.find(&key, hash: key.hash(seed: seed)) else { return nil }
    let flowID = record.pointee.flowID
    let counter = stamper.take(record, now: clock)
    simulation.send(PacketMetadata(time: clock, flowID: flowID, counter: counter, layout: layout), frame, rules)
    return flowID
  }

  private func waitOrDrop(_ reason: Transition, mustDrop: Bool = false) -> Bool {
    simulation.occurrences.note(reason)
    guard mustDrop || simulation.options.dropsUnstamped else { return false }
    remaining -= 1
    return true
  }

  func learn(_ assignment: PairAssignment, pair: Int) {
    simulation.trace("\(name): pair \(pair) is \(assignment.text)")
    rules[pair] = assignment
  }

  func knows(_ pair: Int, epoch: UInt32) -> Bool { rules[pair].epoch >= epoch }

  func closeCommitted(_ flowID: UInt32) {
    // After a change of primary it may be said twice.
    let isKnown = stamper.closeCommitted(flowID)
    simulation.require(isKnown || rules[simulation.pair(flowID)].epoch > 1, .slots) {
      "nobody waits for the close of flow \(flowID)"
    }
    closing.removeAll { $0.marker.flowID == flowID }
  }

  /// A primary that failed may not have said which closes were committed: its successor is asked (R16).
  private func askForSlots() {
    for index in closing.indices {
      // A marker may be lost like any packet, and nothing that comes after it would show.
      if simulation.now > closing[index].sent + 16 * simulation.options.replication.gapTimeout, credit > 0 {
        closing[index].sent = simulation.now
        simulation.sendAgain(closing[index].marker, simulation.arena.allocate(8, alignment: 8), rules)
      }
    }
    for flowID in closing.map(\.marker.flowID) {
      let pair = simulation.pair(flowID)
      guard rules[pair].epoch > 1, let primary = simulation.primary(pair), primary.replica.isCloseCommitted(flowID) else {
        continue
      }
      simulation.occurrences.note(.slotAskedFor)
      simulation.checkSlotReturned(flowID)
      closeCommitted(flowID)
    }
  }
}
