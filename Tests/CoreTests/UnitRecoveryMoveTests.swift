import DEFTWire
import Testing

@testable import DEFTCore

/// A stamping unit fails while flow groups move (paper, VI-C; R8, R11, R16).
@Suite struct UnitRecoveryMoveTests {
  private let pair = PairAssignment(
    epoch: 3, primary: NodeID(0), secondary: NodeID(1), standing: .inSync, policy: .hold, egress: NodeID(9))
  private func entry(_ version: UInt32, _ phase: GroupAssignment.Phase = .settled) -> GroupAssignment {
    var entry = GroupAssignment(pair: 0)
    (entry.version, entry.phase) = (version, phase)
    return entry
  }

  @Test func everyTransitionOfAnInquiry() {
    var inquiry = GroupInquiry(slots: 8, isKnown: false)
    func due(_ primary: Int?, _ secondary: Int?) -> Bool {
      inquiry.due(.primary) == primary && inquiry.due(.secondary) == secondary
    }
    func learns(_ group: GroupAssignment, _ pair: PairAssignment) -> Bool { inquiry.learn(group, pair) }
    func tells(_ reporter: GroupInquiry.Reporter, _ end: Int) -> Bool { inquiry.told(reporter, upTo: end) }
    let inheriting = GroupAssignment.Phase.inheriting(from: 1, primary: NodeID(2), secondary: nil)
    #expect(!learns(entry(3, inheriting), pair) && inquiry.phase == .waiting && due(nil, nil))
    #expect(!tells(.primary, 8) && inquiry.phase == .waiting, "nobody was asked")
    #expect(!learns(entry(4), pair) && inquiry.phase == .asking && due(-1, -1))
    #expect(!tells(.primary, 0) && !tells(.primary, 8) && due(nil, -1))
    #expect(!learns(entry(4), pair) && due(nil, -1), "nothing has changed")
    // A move begins, is undone, is committed elsewhere: each time from the beginning.
    let moving = GroupAssignment.Phase.moving(to: 1, sourceEpoch: 3, targetEpoch: 3)
    #expect(learns(entry(5, moving), pair) && inquiry.phase == .asking && due(-1, -1))
    #expect(!tells(.secondary, 4) && due(-1, 4))
    #expect(learns(entry(6), pair) && due(-1, -1) && inquiry.version == 6)
    #expect(!tells(.primary, 8))
    #expect(learns(entry(7, inheriting), pair) && inquiry.phase == .waiting)
    #expect(!learns(entry(8), pair) && due(-1, -1))
    // And by a new epoch of the pair.
    #expect(!tells(.primary, 100))
    let other = PairAssignment(
      epoch: 4, primary: NodeID(0), secondary: nil, standing: .none, policy: .hold, egress: NodeID(9))
    #expect(learns(entry(8), other) && due(-1, nil) && inquiry.epoch == 4)
    #expect(tells(.primary, 8) && inquiry.phase == .known)
    #expect(!learns(entry(9, inheriting), pair) && inquiry.phase == .known && due(nil, nil))
    #expect(GroupInquiry(slots: 8, isKnown: true).phase == .known)
  }

  /// Whose packets count, of a unit that was replaced.
  @Test func onlyOfThoseThatTheMapWaitsFor() {
    let inheriting = GroupAssignment.Phase.inheriting(from: 1, primary: nil, secondary: NodeID(3))
    #expect(entry(4, inheriting).expects(from: NodeID(3), by: 4))
    #expect(entry(5, inheriting).expects(from: NodeID(3), by: 4))
    #expect(!entry(4, inheriting).expects(from: NodeID(2), by: 3), "has drained, or was dismissed")
    #expect(!entry(5).expects(from: NodeID(3), by: 4))
    let moving = GroupAssignment.Phase.moving(to: 1, sourceEpoch: 3, targetEpoch: 3)
    #expect(!entry(5, moving).expects(from: NodeID(3), by: 4))
    #expect(entry(5, moving).expects(from: NodeID(3), by: 6), "the commit has not been learnt here")
  }

  // MARK: with replicas

  private func harness(_ seed: UInt64) -> MigrationHarness {
    var options = HarnessOptions()
    options.replication.batch = 4
    options.replication.window = 8
    options.replication.stateClockPackets = 4
    options.replication.policy = .release
    options.replication.acknowledgeTimeout = 20_000
    options.replication.flowGroups = 2
    options.slots = 16
    let harness = MigrationHarness(options, seed: seed)
    for flow in 0..<8 { harness.stamp(flow) }
    harness.settle()
    return harness
  }

  /// From now on nothing is stamped, and another unit asks what there is: returns its markers.
  private func recover(_ harness: MigrationHarness, _ random: inout SeededGenerator) -> [UInt32: UInt32] {
    let slots = 12
    var unit = StampingUnit(
      unit: 0, layout: harness.layout, seed: 1, idleTimeout: 1_000_000, incarnation: 2, memory: harness.arena.allocate)
    #expect(unit.table.slots.count == slots)
    var inquiries = [GroupInquiry](repeating: GroupInquiry(slots: slots, isKnown: false), count: 2)
    for _ in 0..<4_000 where inquiries.contains(where: { $0.phase != .known }) {
      if random.oneIn(3) { harness.pass() } else { harness.step(stamps: false) }
      let (group, reporter) = (random.below(2), random.oneIn(2) ? GroupInquiry.Reporter.primary : .secondary)
      let pair = harness.rules[group].pair
      let assignment = harness.assignments[pair]
      _ = inquiries[group].learn(harness.rules[group], assignment)
      guard let place = inquiries[group].due(reporter) else { continue }
      let seat = harness.seat(reporter == .primary ? assignment.primary : assignment.secondary!)
      // What has come was taken.
      guard !seat.isDead, seat.pair == pair, seat.input.isEmpty, seat.forwards.isEmpty else { continue }
      let end = place < 0 ? 0 : place + 4
      if let primary = seat.primary, reporter == .primary {
        guard primary.pointee.mayReport(inquiries[group], group: group) else { continue }
        if place < 0 { primary.pointee.reportWaiting(unit: 0) { unit.note($0) } }
        primary.pointee.reportSlots(unit: 0, max(0, place)..<end, group: group) { unit.note($0) }
      } else if let secondary = seat.secondary, reporter == .secondary {
        guard secondary.pointee.mayReport(inquiries[group], group: group) else { continue }
        if place < 0 { secondary.pointee.reportWaiting(unit: 0) { unit.note($0) } }
        secondary.pointee.reportSlots(unit: 0, max(0, place)..<end, group: group) { unit.note($0) }
      } else {
        continue
      }
      if inquiries[group].told(reporter, upTo: end) { unit.resolve(0..<slots) { $0 & 1 == group } }
    }
    #expect(inquiries.allSatisfy { $0.phase == .known })
    var markers = [ClockEntry](repeating: ClockEntry(flowID: 0, next: 0), count: 16)
    let count = unit.sweepOrphans(into: &markers, capacity: 16)
    return Dictionary(uniqueKeysWithValues: markers[..<count].map { ($0.flowID, $0.next) })
  }

  /// However far the moves are when it fails, and whatever fails besides: each flow is closed behind the last packet that
  /// anybody has, wherever that is by then.
  @Test(arguments: 0..<60) func markersAreBehindWhatMoves(seed: Int) {
    let harness = harness(UInt64(seed) &+ 1)
    var random = SeededGenerator(seed: UInt64(seed) &* 77 &+ 5)
    for group in 0..<2 { harness.begin(group, to: 1 - group) }
    for _ in 0..<random.below(40) {
      for _ in 0..<3 { harness.stamp(random.below(8)) }
      if random.oneIn(2) { harness.pass() } else { for _ in 0..<20 { harness.step(stamps: false) } }
    }
    if random.oneIn(2) { harness.crash(harness.seats[random.below(4)]) }
    let markers = recover(harness, &random)
    #expect(markers == harness.runs.mapValues(\.next))
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == harness.stamped)
  }

  /// Who may report about a group, step by step: never two at a time that do not have the same.
  @Test func onlyTheOwnerReports() {
    let harness = harness(1)
    harness.isLed = false
    func may(_ seat: Int) -> Bool {
      var inquiry = GroupInquiry(slots: 12, isKnown: false)
      _ = inquiry.learn(harness.map.group(0), harness.map[harness.seats[seat].pair])
      let seat = harness.seats[seat]
      return seat.primary?.pointee.mayReport(inquiry, group: 0) ?? seat.secondary!.pointee.mayReport(inquiry, group: 0)
    }
    func learnAll() { for seat in harness.seats { while !seat.notices.isEmpty { harness.learn(seat) } } }
    #expect((0..<4).map(may) == [true, true, true, true], "that a group is another pair's is not known before it moves")
    harness.begin(0, to: 1)
    #expect((0..<4).map(may) == [false, false, false, false], "the map has changed")
    learnAll()
    #expect(may(0) && may(1))
    for _ in 0..<40 where harness.seats[0].primary!.pointee.moveStatus(of: 0) != .complete { harness.pass() }
    #expect((0..<4).map(may) == [true, true, false, false])
    #expect(harness.propose(.commit, 0) == .accepted)
    learnAll()
    #expect((0..<4).map(may) == [false, false, true, true])
  }

  /// The new owner could report, and does not have what the former one keeps: nobody is asked before that has come.
  @Test func nobodyIsAskedWhileSomethingIsKept() {
    let harness = harness(1)
    harness.isLed = false
    harness.begin(0, to: 1)
    for _ in 0..<40 where harness.seats[0].primary!.pointee.moveStatus(of: 0) != .complete { harness.pass() }
    harness.stamp(0)
    for seat in harness.seats { harness.deliver(seat) }
    #expect(harness.seats[0].primary!.pointee.keptCount(of: 0) == 1)
    var unit = StampingUnit(
      unit: 0, layout: harness.layout, seed: 1, idleTimeout: 1_000_000, incarnation: 2, memory: harness.arena.allocate)
    var inquiry = GroupInquiry(slots: 12, isKnown: false)
    func learnAll() {
      while !harness.switchNotices.isEmpty { harness.learnAtSwitch() }
      for seat in harness.seats { while !seat.notices.isEmpty { harness.learn(seat) } }
      _ = inquiry.learn(harness.map.group(0), harness.map[harness.map.group(0).pair])
    }
    func asksBoth() -> Bool {
      guard inquiry.due(.primary) == -1, inquiry.due(.secondary) == -1 else { return false }
      let (primary, secondary) = (harness.seats[2].primary!, harness.seats[3].secondary!)
      guard primary.pointee.mayReport(inquiry, group: 0), secondary.pointee.mayReport(inquiry, group: 0) else {
        return false
      }
      primary.pointee.reportWaiting(unit: 0) { unit.note($0) }
      secondary.pointee.reportWaiting(unit: 0) { unit.note($0) }
      primary.pointee.reportSlots(unit: 0, 0..<12, group: 0) { unit.note($0) }
      secondary.pointee.reportSlots(unit: 0, 0..<12, group: 0) { unit.note($0) }
      unit.resolve(0..<12) { $0 & 1 == 0 }
      return true
    }
    #expect(harness.propose(.commit, 0) == .accepted)
    learnAll()
    #expect(!asksBoth() && inquiry.phase == .waiting)
    harness.forward(harness.seats[0])
    #expect(harness.propose(.drained(NodeID(0)), 0) == .accepted)
    learnAll()
    #expect(!asksBoth())
    harness.forward(harness.seats[1])
    #expect(harness.propose(.drained(NodeID(1)), 0) == .accepted)
    learnAll()
    for seat in harness.seats { harness.deliver(seat) }
    #expect(asksBoth())
    var markers = [ClockEntry](repeating: ClockEntry(flowID: 0, next: 0), count: 16)
    let count = unit.sweepOrphans(into: &markers, capacity: 16)
    #expect(markers[..<count].first { $0.flowID == harness.flowID(0) }?.next == 3)
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == harness.stamped)
  }

  /// What is kept for a frozen group is reported, but not what can be of none of its flows (R18).
  @Test func whatIsKeptIsReportedIfItMayBe() {
    let harness = harness(1)
    harness.isLed = false
    harness.begin(0, to: 1)
    for _ in 0..<40 where harness.seats[0].primary!.pointee.moveStatus(of: 0) != .complete { harness.pass() }
    harness.stamp(0)
    harness.deliver(harness.seats[0])
    let metadata = PacketMetadata(time: 1, flowID: harness.flowID(2), counter: 1 << 30 + 7, layout: .opaque)
    harness.send(metadata, 0, to: harness.seats[0], references: 2)
    harness.deliver(harness.seats[0])
    #expect(harness.seats[0].primary!.pointee.keptCount(of: 0) == 2)
    var reports: [SlotReport] = []
    harness.seats[0].primary!.pointee.reportWaiting(unit: 0) { reports.append($0) }
    #expect(reports == [SlotReport(flowID: harness.flowID(0), end: 3, isEnded: false)])
  }
}
