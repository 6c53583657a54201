import DEFTWire
import Testing

@testable import DEFTCore

/// Both replicas of a pair are lost: the flows begin anew (`UnitRestart`, `RestartState`, `EgressBeginning`).
@Suite struct LostPairTests {
  private static let layout = FlowIDLayout(units: 2, slotsPerUnit: 8)
  private static func first(_ slot: Int) -> UInt32 { layout.first(unit: 1, slot: slot) }
  private static func on(_ flowID: UInt32, _ count: Int) -> UInt32 {
    (0..<count).reduce(flowID) { flowID, _ in layout.following(flowID) }
  }

  // MARK: the map

  @Test func theMapCountsTheLossAndLetsEgressBeginAnew() {
    let (p, s, r) = (NodeID(1), NodeID(2), NodeID(3))
    var map = ClusterMap(pairs: [
      PairAssignment(primary: p, secondary: s, standing: .inSync, policy: .hold, egress: NodeID(9))
    ])
    #expect(map.propose(.primaryFailed(replacement: r), pair: 0, ifEpoch: 1) == .accepted(.takeover))
    #expect(map[0].losses == 0 && map[0].egressTerm == 1, "one replica is left")
    #expect(map.propose(.primaryFailed(replacement: r), pair: 0, ifEpoch: 2) == .accepted(.restart))
    #expect(map[0].primary == r && map[0].losses == 1 && map[0].egressTerm == 2 && map[0].egress == NodeID(9))
    #expect(map[0].standing == .none && map[0].epoch == 3)
  }

  /// Nobody forwards anything any more, be the node named again, with nothing.
  @Test func nobodyWaitsForALostPairToDrain() {
    let egress = NodeID(9)
    var map = ClusterMap(
      pairs: [
        PairAssignment(primary: NodeID(1), secondary: NodeID(2), standing: .inSync, policy: .hold, egress: egress),
        PairAssignment(primary: NodeID(3), secondary: NodeID(4), standing: .inSync, policy: .hold, egress: egress),
      ], groups: 2)
    #expect(map.propose(.begin(to: 1), group: 0, ifVersion: 1) == .accepted)
    #expect(map.propose(.commit, group: 0, ifVersion: 2) == .accepted && map.group(0).isInheriting)
    #expect(map.propose(.primaryFailed(), pair: 0, ifEpoch: 1) == .accepted(.takeover))
    #expect(map.group(0).isInheriting, "the former secondary lives")
    #expect(map.propose(.primaryFailed(replacement: NodeID(1)), pair: 0, ifEpoch: 2) == .accepted(.restart))
    #expect(map.group(0).phase == .settled && map.group(0).pair == 1)
  }

  // MARK: slots

  @Test func everyGenerationEndsAndOneIsLeftOut() {
    let arena = TableArena()
    var pool = SlotPool(unit: 1, layout: Self.layout, count: 4, memory: arena.allocate)
    for _ in 0..<3 { _ = pool.take() }
    pool.beginClose(Self.first(1))
    pool.beginClose(Self.first(2))
    let freed = pool.free(Self.first(2))
    #expect(freed)
    let ended = (0..<4).map { pool.endGeneration($0) }
    #expect(ended == [Self.first(0), Self.first(1), nil, nil])
    let floors = (0..<4).map { pool.floor($0) }
    // Open and closing: behind the one that was used. Free: the one that would have been next.
    #expect(floors == [Self.on(Self.first(0), 1), Self.on(Self.first(1), 1), Self.on(Self.first(2), 1), Self.first(3)])
    #expect(pool.occupied == 1 && pool.closingCount == 0, "nobody can commit the close of one that was closing")
    var next: [UInt32] = []
    while let flowID = pool.take() { next.append(flowID) }
    #expect(Set(next) == [Self.on(Self.first(1), 2), Self.on(Self.first(2), 2), Self.on(Self.first(3), 1)])
    let late = pool.free(Self.first(1))
    #expect(!late, "a notice of the dead")
  }

  @Test func generationsWrap() {
    let layout = FlowIDLayout(units: 1, slotsPerUnit: 1 << 23)
    var flowID = layout.first(unit: 0, slot: 5)
    for _ in 0..<600 {
      let next = layout.following(flowID)
      #expect(layout.preceding(next) == flowID && layout.isLater(next, than: flowID) && flowID >= 1 << 23)
      flowID = next
    }
  }

  /// What a unit that takes another's place has not found out stays unknown.
  @Test func unknownStaysUnknownAndOrphansEnd() {
    let arena = TableArena()
    var pool = SlotPool(unit: 1, layout: Self.layout, count: 2, incarnation: 2, memory: arena.allocate)
    pool.note(SlotReport(flowID: Self.first(1), end: 5, isEnded: false))
    pool.resolve(1)
    let ended = (0..<2).map { pool.endGeneration($0) }
    #expect(ended == [nil, Self.first(1)] && pool.unknownCount == 1 && pool.orphanCount == 0)
    let floors = (0..<2).map { pool.floor($0) }
    #expect(floors == [nil, Self.on(Self.first(1), 3)], "of those that nobody knows the failed unit may have used one")
  }

  // MARK: units

  /// In pieces; only the pair's slots; and from the beginning if another loss comes.
  @Test func aUnitEndsAndTellsInPieces() {
    let arena = TableArena()
    var unit = StampingUnit(unit: 1, layout: Self.layout, seed: 1, idleTimeout: 1, memory: arena.allocate)
    var keys = (0..<3).map { number -> FlowKey in
      var key = FlowKey()
      withUnsafeMutableBytes(of: &key) { $0[0] = UInt8(number + 1) }
      return key
    }
    var flowIDs: [UInt32] = []
    for index in keys.indices {
      let record = unit.table.find(&keys[index], hash: keys[index].hash(seed: 1))!
      _ = unit.take(record, now: 5)
      flowIDs.append(record.pointee.flowID)
    }
    let owned: (Int) -> Bool = { Self.layout.slot(UInt32($0)) != 1 }
    var restart = UnitRestart(epoch: 4)
    var ended: [ClockEntry] = []
    unit.tellFloors(&restart, limit: 6, isOwned: owned) { _ in ended.append(ClockEntry(flowID: 0, next: 0)) }
    #expect(ended.isEmpty && restart.phase == .ending, "nothing is told before all have ended")
    unit.endGenerations(&restart, limit: 2, isOwned: owned) { ended.append($0) }
    #expect(restart.phase == .ending && restart.slot == 2)
    unit.endGenerations(&restart, limit: 2, isOwned: owned) { ended.append($0) }
    #expect(restart.phase == .telling && ended.map(\.flowID) == [flowIDs[0], flowIDs[2]] && unit.restarted == 2)
    #expect(ended.map(\.next) == [2, 2])
    unit.endGenerations(&restart, limit: 2, isOwned: owned) { ended.append($0) }
    #expect(unit.restarted == 2, "once")
    // The connections go on: with the first counter of a later generation, and where they were.
    for (index, isOwned) in [true, false, true].enumerated() {
      let record = unit.table.find(&keys[index], hash: keys[index].hash(seed: 1))!
      #expect(record.pointee.flowID == Self.on(flowIDs[index], isOwned ? 2 : 0))
      #expect(record.pointee.nextCounter == (isOwned ? Stamp.firstCounter : 2))
    }
    var floors: [UInt32] = []
    unit.tellFloors(&restart, limit: 2, isOwned: owned) { floors.append($0) }
    restart.tellAgain()
    floors = []
    while restart.phase == .telling { unit.tellFloors(&restart, limit: 2, isOwned: owned) { floors.append($0) } }
    // Not of slots that never had a flow.
    #expect(restart.phase == .told && floors == [Self.on(flowIDs[0], 1), Self.on(flowIDs[2], 1)])
  }

  // MARK: the new primary

  private typealias Primary = PairHarness.Primary
  private func options() -> HarnessOptions {
    var options = HarnessOptions()
    options.replication.batch = 1
    options.replication.policy = .release
    return options
  }
  private func restarted(_ harness: PairHarness, units: Int = 1) {
    harness.primary = Primary(
      function: harness.options.function, configuration: harness.options.replication, layout: harness.layout,
      prepares: BookLog(book: harness.prepares), commits: BookLog(book: harness.commits), closeCapacity: 16,
      hasSecondary: false, memory: harness.arena.allocate)
    harness.primary.restart(units: units, egressTerm: 2)
  }

  /// over → floors → egress → over; nothing is taken, told or synced before.
  @Test func thePrimaryWaitsForFloorsAndForEgress() {
    let harness = PairHarness(options())
    restarted(harness)
    #expect(harness.primary.room == 0 && !harness.primary.maySync && harness.primary.tellsEgress)
    #expect(harness.tellEgress() == ([], false), "egress is told all floors or none")
    let flowID = harness.layout.first(unit: 0, slot: 0)
    let floor = harness.layout.following(flowID)
    harness.primary.takeFloor(floor)
    harness.primary.takeFloor(floor)
    #expect(harness.primary.counters.floors == 1 && harness.primary.awaitsFloors)
    harness.primary.floorsAreTold(by: 0)
    harness.primary.floorsAreTold(by: 0)
    #expect(!harness.primary.awaitsFloors && harness.primary.room == 0 && !harness.primary.maySync)
    harness.primary.takeFloor(harness.layout.following(floor))
    #expect(harness.primary.counters.floors == 1, "told is told")
    let (entries, isComplete) = harness.tellEgress()
    #expect(isComplete && entries == [EgressEntry(flowID: floor, last: 0, isClosed: true)])
    harness.primary.egressTold(term: 1, byThis: true)
    #expect(harness.primary.isRestarting == true, "another egress's word")
    harness.primary.egressTold(term: 2, byThis: true)
    #expect(!harness.primary.isRestarting && harness.primary.room > 0 && harness.primary.maySync)
    #expect(harness.primary.counters.ambiguous == 0, "what is lost is lost, and counted by the map")
  }

  @Test func everyUnitHasToTell() {
    let harness = PairHarness(options())
    restarted(harness, units: 1)
    #expect(!harness.primary.awaitsFloors(of: 1) && harness.primary.awaitsFloors(of: 0))
    harness.primary.floorsAreTold(by: 1)
    #expect(harness.primary.awaitsFloors == true)
  }

  /// Whatever is under way of what has ended is not taken; what begins anew is.
  @Test func whatHasEndedIsStale() {
    let harness = PairHarness(options())
    restarted(harness)
    let old = harness.layout.first(unit: 0, slot: 0)
    let floor = harness.layout.following(old)
    harness.primary.takeFloor(floor)
    harness.primary.floorsAreTold(by: 0)
    _ = harness.tellEgress()
    harness.primary.egressTold(term: 2, byThis: true)
    func take(_ flowID: UInt32, _ counter: UInt32) -> Bool {
      let metadata = PacketMetadata(time: 1, flowID: flowID, counter: counter, layout: .opaque)
      var packet = harness.bank.make(metadata, content: (0, 0), references: 2)
      var unwanted = packet
      return harness.primary.process(&packet, count: 1, unwanted: &unwanted, now: 1) == 0
    }
    #expect(!take(old, 1) && !take(old, 2))
    #expect(harness.primary.counters.lostGeneration == 2 && harness.primary.counters.processed == 0)
    #expect(take(harness.layout.following(floor), 1) && !take(old, 1))
    #expect(harness.primary.counters.staleGeneration == 3 && harness.primary.counters.processed == 1)
  }

  // MARK: egress

  @Test func egressGivesBackWhatWaitsForTheDead() {
    let bank = PacketBank()
    let arena = TableArena()
    var chain = EgressChain<PlainStorage>(layout: Self.layout, holdCapacity: 8, memory: arena.allocate)
    let flowID = Self.first(2)
    func packet(_ flowID: UInt32, _ previous: UInt32, _ counter: UInt32) -> Packet {
      let metadata = PacketMetadata(
        time: 0, flowID: flowID, counter: counter, previousPassed: previous, layout: .opaque)
      return bank.make(metadata, content: (0, 0), references: 1)
    }
    let first = chain.decide(packet(flowID, 0, 1))
    let third = chain.decide(packet(flowID, 2, 3))
    let fourth = chain.decide(packet(flowID, 3, 4))
    #expect(first == .transmit && third == .hold && fourth == .hold)

    var beginning = EgressBeginning(term: 1)
    let same = beginning.beginsAnew(term: 1)
    let later = beginning.beginsAnew(term: 2)
    #expect(!same && later && !beginning.isTold && beginning.term == 2)
    let earlier = beginning.beginsAnew(term: 1)
    #expect(!earlier)
    let takes = beginning.takes(stream: 7, attempt: 1, number: 0)
    #expect(takes)

    var back: [UInt32] = []
    while let packet = chain.takeAbandoned(flowIndex: Self.layout.index(flowID)) { back.append(packet.pointee.counter) }
    #expect(back == [3, 4] && chain.abandoned == 2 && chain.heldCount == 0)
    let floor = Self.layout.following(flowID)
    chain.begin(EgressEntry(flowID: floor, last: 0, isClosed: true))
    let old = chain.decide(packet(flowID, 1, 2))
    let new = chain.decide(packet(Self.layout.following(floor), 0, 1))
    #expect(old == .suppress && chain.staleGeneration == 1 && new == .transmit)
  }
}
