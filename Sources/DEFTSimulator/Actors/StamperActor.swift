import DEFTCore
import DEFTWire

/// A stamping unit with its switch, and the source of its packets, as `StamperStage` is on an lcore.
final class StamperActor: Actor {
  unowned let simulation: Simulation
  let index: Int
  let unit: Int
  /// Which of those that have been this unit (R16).
  let incarnation: UInt32
  private(set) var isGone = false
  /// Replaced, it goes on until then.
  private var end = UInt64.max
  private var stamper: StampingUnit
  private let keys: [Int]
  private let seed: UInt64
  private(set) var remaining: Int
  private var nextBurst: UInt64 = 0
  /// This host's clock minus the simulation's, ns.
  var clockOffset: Int64
  /// What it knows of the map, by pair.
  private var rules: [PairAssignment]
  /// By flow group: what it has to ask about its predecessor's flows.
  private var inquiries: [GroupInquiry]
  /// By pair: what it does about the loss of its states.
  private var restarts: [UnitRestart?]
  /// And by flow group.
  private var groups: [GroupAssignment]
  /// Flows whose close has been stamped, and whose slots have not come back.
  private var closing: [Closing] = []
  private struct Closing {
    var marker: PacketMetadata
    var sent: UInt64
  }
  var name: String { incarnation == 1 ? "stamper \(unit)" : "stamper \(unit).\(incarnation)" }

  init(_ simulation: Simulation, index: Int, unit: Int, keys: [Int], packets: Int, incarnation: UInt32) {
    self.simulation = simulation
    self.index = index
    self.unit = unit
    self.keys = keys
    self.incarnation = incarnation
    restarts = [UnitRestart?](repeating: nil, count: simulation.options.pairs)
    seed = simulation.random.next()
    remaining = keys.isEmpty || simulation.isDirected ? 0 : packets
    clockOffset = Int64(simulation.random.below(UInt64(100_000)))
    rules = (0..<simulation.options.pairs).map { simulation.map[$0] }
    groups = (0..<simulation.map.groupCount).map { simulation.map.group($0) }
    stamper = StampingUnit(
      unit: unit, layout: simulation.layout, seed: seed, idleTimeout: simulation.options.idleTimeout,
      incarnation: incarnation, memory: simulation.arena.allocate)
    let (layout, slots) = (simulation.layout, stamper.table.slots.count)
    var groupsOfSlots = Set<Int>()
    for slot in 0..<slots { groupsOfSlots.insert(simulation.group(layout.first(unit: unit, slot: slot))) }
    inquiries = groups.indices.map { group in
      GroupInquiry(slots: slots, isKnown: incarnation == 1 || !groupsOfSlots.contains(group))
    }
  }

  /// In the place of one that failed, with nothing of what it had.
  convenience init(_ simulation: Simulation, index: Int, succeeding other: StamperActor, incarnation: UInt32) {
    self.init(
      simulation, index: index, unit: other.unit, keys: other.keys, packets: other.remaining, incarnation: incarnation)
  }

  // MARK: its life

  func die() { isGone = true }
  /// It does not know yet that it was replaced.
  func linger() {
    remaining = min(remaining, 8)
    end = simulation.now + simulation.random.below(simulation.options.controlLatency * 4)
  }

  var isRecovering: Bool { stamper.isRecovering }

  var occupied: Int { stamper.table.slots.occupied }
  private var clock: UInt64 { UInt64(Int64(simulation.now) + 1_000_000 + clockOffset) }

  func poll() -> Int {
    guard simulation.now < end else {
      isGone = true
      return 0
    }
    for pair in rules.indices where restarts[pair] == nil && awaitsFloors(pair) {
      // Its predecessor has not told them, or not all.
      restarts[pair] = namedPrimary(pair).map { UnitRestart(epoch: $0.stream) }
    }
    var moved = isRecovering ? recover() : 0
    if isRestarting { moved += restart() }
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

  /// None before the new primary of a pair that has lost its states knows which generations are over (R17).
  var credit: Int { isRestarting ? 0 : simulation.leastCredit(rules) }

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
        send(metadata, simulation.arena.allocate(8, alignment: 8))
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
    guard credit > 0 else { return waitOrDrop(simulation.poolCredit <= 0 ? .poolEmpty : .noCredit) }
    guard let record = stamper.table.find(&key, hash: key.hash(seed: seed)) else {
      return waitOrDrop(.noSlot, mustDrop: !isRecovering)
    }
    let flowID = record.pointee.flowID
    let counter = stamper.take(record, now: clock)
    remaining -= 1
    send(PacketMetadata(time: clock, flowID: flowID, counter: counter, layout: layout), frame)
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
    send(PacketMetadata(time: clock, flowID: flowID, counter: counter, layout: layout), frame)
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
    // It begins with what the map says then; some of that is under way to it still.
    guard assignment.epoch >= rules[pair].epoch else { return }
    if assignment.losses > rules[pair].losses {
      restarts[pair] = UnitRestart(epoch: assignment.epoch)
      simulation.wake(index)
    }
    rules[pair] = assignment
  }

  func knows(_ pair: Int, epoch: UInt32) -> Bool { rules[pair].epoch >= epoch }

  /// Between two bursts.
  func learn(_ assignment: GroupAssignment, group: Int) {
    if assignment.version > groups[group].version { groups[group] = assignment }
  }
  func knows(_ group: Int, version: UInt32) -> Bool { groups[group].version >= version }

  /// The pair that it sends the flow's packets to.
  private func pair(_ flowID: UInt32) -> Int { groups[simulation.group(flowID)].pair }
  private func send(_ metadata: PacketMetadata, _ frame: UnsafeMutableRawPointer, again: Bool = false) {
    let pair = pair(metadata.flowID)
    if again {
      simulation.sendAgain(metadata, frame, rules[pair], pair, incarnation: incarnation)
    } else {
      simulation.send(metadata, frame, rules[pair], pair, incarnation: incarnation)
    }
  }
  /// Somebody else than the primary that took the marker may have to be asked for the slot.
  private func hasChanged(_ flowID: UInt32) -> Bool {
    rules[pair(flowID)].epoch > 1 || groups[simulation.group(flowID)].version > 1 || incarnation > 1
  }

  func closeCommitted(_ flowID: UInt32) {
    // After a change of primary it may be said twice.
    let isKnown = stamper.closeCommitted(flowID)
    simulation.require(isKnown || hasChanged(flowID), .slots) {
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
        send(closing[index].marker, simulation.arena.allocate(8, alignment: 8), again: true)
      }
    }
    for flowID in closing.map(\.marker.flowID) {
      let pair = simulation.pair(flowID)
      guard hasChanged(flowID), let primary = simulation.primary(pair), primary.replica.isCloseCommitted(flowID) else {
        continue
      }
      simulation.occurrences.note(.slotAskedFor)
      simulation.checkSlotReturned(flowID)
      closeCommitted(flowID)
    }
  }

  // MARK: a pair has lost its states

  var isRestarting: Bool { restarts.contains { $0 != nil } }

  /// One piece of what is to be done, for each pair.
  private func restart() -> Int {
    var moved = 0
    for pair in restarts.indices {
      guard var restart = restarts[pair] else { continue }
      let isOwned: (Int) -> Bool = { [groups] in groups[$0 & (groups.count - 1)].pair == pair }
      switch restart.phase {
      case .ending:
        let epoch = restart.epoch
        stamper.endGenerations(&restart, limit: 4, isOwned: isOwned) { end($0.flowID, pair, epoch) }
        moved += 1
      case .told, .over:
        guard let actor = namedPrimary(pair), actor.stream >= restart.epoch, !actor.replica.isRestarting else { continue }
        restart.primaryHasBegun()
        moved += 1
      case .telling:
        // What an incarnation tells that was replaced does not count.
        guard let actor = namedPrimary(pair), actor.stream == restart.epoch, actor.replica.awaitsFloors(of: unit),
          actor.node.incarnations[unit] == incarnation
        else { continue }
        if simulation.hasFaults, restart.slot > 0, simulation.random.oneIn(8) {
          simulation.occurrences.note(.floorsToldAgain)
          restart.tellAgain()
        }
        stamper.tellFloors(&restart, limit: 4, isOwned: isOwned) {
          simulation.noteFloor($0)
          actor.replica.takeFloor($0)
        }
        if restart.phase == .told { actor.replica.floorsAreTold(by: unit) }
        simulation.wake(actor.index)
        moved += 1
      }
      restarts[pair] = restart.phase == .over ? nil : restart
    }
    return moved
  }

  private func end(_ flowID: UInt32, _ pair: Int, _ epoch: UInt32) {
    closing.removeAll { $0.marker.flowID == flowID }
    // One that was replaced and does not know it comes too late.
    if simulation.counts(flowID, incarnation) { simulation.noteEnded(flowID, pair: pair, epoch: epoch) }
  }

  // MARK: in the place of one that failed

  /// Asks one replica for one piece of what it knows; closes orphans.
  private func recover() -> Int {
    var moved = 0
    for group in inquiries.indices where inquiries[group].phase != .known { moved += ask(group) }
    let capacity = min(4, credit)
    guard capacity > 0 else { return moved }
    withUnsafeTemporaryAllocation(of: ClockEntry.self, capacity: 4) { markers in
      let count = stamper.sweepOrphans(into: markers.baseAddress!, capacity: capacity)
      for marker in markers[..<count] { close(orphan: marker) }
      moved += count
    }
    return moved
  }

  /// The pair's primary begins with nothing, and knows that this is the unit now.
  private func awaitsFloors(_ pair: Int) -> Bool {
    guard incarnation > 1, let actor = namedPrimary(pair), actor.formerLosses == rules[pair].losses,
      actor.node.incarnations[unit] == incarnation
    else { return false }
    return actor.replica.awaitsFloors(of: unit)
  }

  /// By what the unit knows of the map.
  private func namedPrimary(_ pair: Int) -> PrimaryActor? {
    guard case .primary(let actor) = simulation.nodes[Int(rules[pair].primary.rawValue)].roles[pair] else { return nil }
    return actor
  }

  private func close(orphan marker: ClockEntry) {
    var layout = FrameLayout.opaque
    layout.isCloseMarker = true
    let metadata = PacketMetadata(time: clock, flowID: marker.flowID, counter: marker.next, layout: layout)
    closing.append(Closing(marker: metadata, sent: simulation.now))
    let bytes = simulation.arena.allocate(8, alignment: 8)
    send(metadata, bytes, again: !simulation.noteOrphan(marker, incarnation: incarnation))
  }

  /// Asks one of the replicas that the map names for the next piece of what it knows of the group.
  private func ask(_ group: Int) -> Int {
    let rule = rules[groups[group].pair]
    if inquiries[group].learn(groups[group], rule) { simulation.occurrences.note(.unitAsksAnew) }
    if inquiries[group].phase == .waiting { simulation.occurrences.note(.unitWaitsForDrain) }
    if awaitsFloors(groups[group].pair) { inquiries[group].ownerHasNothing() }
    let isLost = inquiries[group].phase == .lost
    let reporter = isLost ? .egress : simulation.random.oneOf([GroupInquiry.Reporter.primary, .secondary])
    guard let place = inquiries[group].due(reporter) else { return 0 }
    let slots = stamper.table.slots.count
    let end = place < 0 ? 0 : min(place + 4 * groups.count, slots)
    guard ask(reporter, group, place, end) else { return 0 }
    guard inquiries[group].told(reporter, upTo: end) else { return 1 }
    if isLost { return resolveLost(group) }
    simulation.trace("\(name): knows what there is of group \(group)")
    stamper.resolve(0..<slots) { simulation.group(UInt32($0)) == group }
    simulation.noteResolved(
      unit: unit, group: group, incarnation: incarnation, orphans: stamper.table.slots.orphans)
    return 1
  }

  /// The pair has lost its states, and the unit's predecessor has told nobody which generations are over.
  private func resolveLost(_ group: Int) -> Int {
    simulation.trace("\(name): knows what egress has had of group \(group)")
    simulation.occurrences.note(.lostSlotsFromEgress)
    stamper.resolveLost(0..<stamper.table.slots.count) { simulation.group(UInt32($0)) == group }
    simulation.noteResolvedLost(unit: unit, group: group, incarnation: incarnation)
    return 1
  }

  /// False: it may not report now.
  private func ask(_ reporter: GroupInquiry.Reporter, _ group: Int, _ place: Int, _ end: Int) -> Bool {
    let (pair, inquiry) = (groups[group].pair, inquiries[group])
    if reporter == .egress {
      guard !simulation.egress.isGone else { return false }
      simulation.egress.chain.reportSlots(unit: unit, place..<end, group: group, of: groups.count) { stamper.note($0) }
      return true
    }
    guard let node = reporter == .primary ? rules[pair].primary : rules[pair].secondary else { return false }
    switch simulation.nodes[Int(node.rawValue)].roles[pair] {
    case .primary(let actor):
      guard reporter == .primary, actor.replica.mayReport(inquiry, group: group),
        actor.isShut(to: unit, before: incarnation)
      else { return false }
      if place < 0 {
        actor.replica.reportWaiting(unit: unit) { stamper.note($0) }
      } else {
        actor.replica.reportSlots(unit: unit, place..<end, group: group) { stamper.note($0) }
      }
    case .secondary(let actor):
      guard reporter == .secondary, actor.replica.mayReport(inquiry, group: group),
        actor.isShut(to: unit, before: incarnation)
      else { return false }
      if place < 0 {
        actor.replica.reportWaiting(unit: unit) { stamper.note($0) }
      } else {
        actor.replica.reportSlots(unit: unit, place..<end, group: group) { stamper.note($0) }
      }
    case .none: return false
    }
    return true
  }
}
