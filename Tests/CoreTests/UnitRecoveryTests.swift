import DEFTWire
import Testing

@testable import DEFTCore

/// A stamping unit fails and another takes its place (paper, VI-C; R16).
@Suite struct UnitRecoveryTests {
  private static let layout = FlowIDLayout(units: 2, slotsPerUnit: 8)
  private static func first(_ slot: Int) -> UInt32 { layout.first(unit: 1, slot: slot) }
  private static func on(_ flowID: UInt32, _ count: Int) -> UInt32 {
    (0..<count).reduce(flowID) { flowID, _ in layout.following(flowID) }
  }

  /// One slot after these reports: what it is, and the next flow ID or the marker.
  private enum Outcome: Equatable {
    case free(UInt32)
    case orphan(UInt32, marker: UInt32)
  }
  private func outcome(_ reports: [SlotReport], incarnation: UInt32 = 2) -> Outcome? {
    let arena = TableArena()
    var pool = SlotPool(unit: 1, layout: Self.layout, count: 1, incarnation: incarnation, memory: arena.allocate)
    let none = pool.take()
    guard none == nil, pool.unknownCount == 1 else { return nil }
    for report in reports { pool.note(report) }
    let stillNone = pool.take()
    guard stillNone == nil else { return nil }
    pool.resolve(0)
    guard pool.unknownCount == 0 else { return nil }
    if let marker = pool.takeOrphan(limit: 1) {
      let again = pool.takeOrphan(limit: 1)
      guard again == nil, pool.closingCount == 1, pool.closingFlows == [marker.flowID] else { return nil }
      return .orphan(marker.flowID, marker: marker.next)
    }
    return pool.take().map { .free($0) }
  }

  @Test func unknownBecomesFreeOrOrphaned() {
    let flow = Self.first(0)
    func report(_ end: UInt32, isEnded: Bool = false, isCommitted: Bool = false, _ flowID: UInt32 = flow) -> SlotReport {
      SlotReport(flowID: flowID, end: end, isEnded: isEnded, isCommitted: isCommitted)
    }
    #expect(outcome([]) == .free(Self.on(flow, 3)), "the first generation may have been used, and have arrived nowhere")
    #expect(outcome([report(5)]) == .orphan(flow, marker: 5))
    #expect(outcome([report(5, isEnded: true)]) == .orphan(flow, marker: 4), "the same marker again")
    #expect(outcome([report(5, isEnded: true, isCommitted: true)]) == .free(Self.on(flow, 4)))
    // Two replicas, in either order.
    let later = Self.layout.following(flow)
    for (one, other, expected) in [
      (report(5), report(9), Outcome.orphan(flow, marker: 9)),
      (report(5, isEnded: true), report(3), .orphan(flow, marker: 4)),
      (report(4), report(5, isEnded: true), .orphan(flow, marker: 4)),
      (report(5), report(5, isEnded: true), .orphan(flow, marker: 4)),
      (report(5, isEnded: true, isCommitted: true), report(2, later), .orphan(later, marker: 2)),
      (report(0xffff_fff0), report(3), .orphan(flow, marker: 3)),
    ] {
      #expect(outcome([one, other]) == expected && outcome([other, one]) == expected, "\(one) \(other)")
    }
  }

  @Test func othersReportsChangeNothing() {
    let other = SlotReport(flowID: Self.layout.first(unit: 0, slot: 0), end: 7, isEnded: false)
    let beyond = SlotReport(flowID: Self.layout.first(unit: 1, slot: 7), end: 7, isEnded: false)
    let nothing = SlotReport(flowID: 0, end: 7, isEnded: false)
    #expect(outcome([other, beyond, nothing]) == .free(Self.on(Self.first(0), 3)))
  }

  @Test func orphanedIsNotFreedBeforeItsMarker() {
    let arena = TableArena()
    var pool = SlotPool(unit: 1, layout: Self.layout, count: 2, incarnation: 2, memory: arena.allocate)
    let flow = Self.first(1)
    pool.note(SlotReport(flowID: flow, end: 3, isEnded: false))
    let early = pool.free(flow)
    #expect(!early, "unknown")
    pool.resolve(1)
    let tooEarly = pool.free(flow)
    #expect(!tooEarly && pool.orphanCount == 1 && pool.orphans == [flow])
    pool.note(SlotReport(flowID: flow, end: 9, isEnded: false))
    let marker = pool.takeOrphan(limit: 2)
    #expect(marker?.next == 3, "resolved: reports change nothing any more")
    let freed = pool.free(flow)
    let next = pool.take()
    #expect(freed && next == Self.layout.following(flow), "the ordinary way back")
  }

  /// Whatever earlier incarnations have used of a slot without anybody getting to know of it: no flow ID comes again, and
  /// each is later than what the replicas know.
  @Test func incarnationsNeverShareAFlowID() {
    // As few bits of generation as there may be.
    let layout = FlowIDLayout(units: 1, slotsPerUnit: 1 << 23)
    let arena = TableArena()
    let known = layout.first(unit: 0, slot: 0)
    var used: Set<UInt32> = [known]
    for incarnation in UInt32(2)...129 {
      var pool = SlotPool(unit: 0, layout: layout, count: 1, incarnation: incarnation, memory: arena.allocate)
      pool.note(SlotReport(flowID: known, end: 2, isEnded: true, isCommitted: true))
      pool.resolve(0)
      let flowID = pool.take()!
      #expect(used.insert(flowID).inserted && layout.isLater(flowID, than: known), "incarnation \(incarnation)")
    }
  }

  @Test func theMapGivesOutEachIncarnationOnce() {
    let pair = PairAssignment(
      primary: NodeID(1), secondary: NodeID(2), standing: .inSync, policy: .hold, egress: NodeID(9))
    var map = ClusterMap(pairs: [pair], units: 2)
    #expect(map.replaceUnit(1, ifIncarnation: 1) == 2)
    #expect(map.replaceUnit(1, ifIncarnation: 1) == nil, "somebody else has proposed it already")
    #expect(map.replaceUnit(1, ifIncarnation: 2) == 3 && map.replaceUnit(2, ifIncarnation: 1) == nil)
    #expect(map.units.map(\.incarnation) == [1, 3] && map[0] == pair, "no pair is disturbed")
  }

  @Test func noMoreClosesAreUnderWayThanThereMayBe() {
    let layout = FlowIDLayout(units: 1, slotsPerUnit: 2048)
    let arena = TableArena()
    var unit = StampingUnit(
      unit: 0, layout: layout, seed: 1, idleTimeout: 1_000_000, incarnation: 2, memory: arena.allocate)
    for slot in 0..<1500 { unit.note(SlotReport(flowID: layout.first(unit: 0, slot: slot), end: 2, isEnded: false)) }
    unit.resolve(0..<700) { _ in true }
    unit.resolve(700..<100_000) { _ in true }
    var markers = [ClockEntry](repeating: ClockEntry(flowID: 0, next: 0), count: 2000)
    let count = unit.sweepOrphans(into: &markers, capacity: 2000)
    #expect(count == StampingUnit.maximumClosing && unit.isRecovering && unit.table.slots.orphanCount == 1500 - count)
    let freed = unit.closeCommitted(markers[0].flowID)
    let more = unit.sweepOrphans(into: &markers, capacity: 2000)
    #expect(freed && more == 1)
  }

  // MARK: with replicas

  private func harness(_ change: (inout HarnessOptions) -> Void = { _ in }) -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 2
    options.replication.stateClockPackets = 1
    options.replication.gapTimeout = 10_000
    options.replication.lostRanges = 4
    options.replication.gaps = 8
    options.replication.policy = .hold
    change(&options)
    let harness = PairHarness(options)
    harness.isLossless = true
    return harness
  }

  /// Its flows end, with what either replica has; the same connections are new flows.
  @Test func flowsBeginAnew() {
    let harness = harness()
    for key in 0..<3 { harness.stamp(key) }
    harness.rounds(6)
    // What only one of them has, and what one of them has in the pendingList.
    harness.stampLost(0, toPrimary: true)
    harness.stampLost(1, toSecondary: true)
    harness.stampLost(2, toPrimary: true)
    harness.stamp(2)
    harness.deliverToPrimary()
    harness.deliverToSecondary()
    let old = Set(harness.runs.keys)
    harness.replaceUnit(incarnation: 2)
    #expect(harness.stamp(0) == nil, "no slot may be used yet")
    let markers = harness.recoverUnit()
    #expect(Set(markers.map(\.flowID)) == old && Set(markers.map(\.next)) == [3, 4])
    let new = (0..<3).compactMap { harness.stamp($0)?.flowID }
    #expect(new.count == 3 && old.isDisjoint(with: new))
    harness.settle(closingFlows: true)
    #expect(harness.violation == nil && harness.lost.isEmpty && harness.transmitted.count == 10)
  }

  /// The unit failed while flows were closing: their slots come back, be it that nobody told it, or that the marker is on
  /// one way only.
  @Test func closesUnderWayAreFinished() {
    let harness = harness { $0.idleTimeout = 100_000 }
    for key in 0..<2 { harness.stamp(key) }
    harness.rounds(6)
    harness.now += 200_000
    while harness.sweep() == 0 { harness.now += 20_000 }
    harness.deliverToSecondary()
    harness.replaceUnit(incarnation: 2)
    let markers = harness.recoverUnit()
    #expect(markers.map(\.next) == [2, 2])
    harness.settle(closingFlows: true)
    #expect(harness.violation == nil && harness.closesCommitted == 2 && harness.secondary.counters.duplicates == 2)
  }

  /// The next one fails too, and its markers are lost with it.
  @Test func itFailsAgain() {
    let harness = harness()
    for key in 0..<3 { harness.stamp(key) }
    harness.rounds(6)
    harness.replaceUnit(incarnation: 2)
    let first = harness.recoverUnit()
    harness.replaceUnit(incarnation: 3)
    let second = harness.recoverUnit()
    #expect(first.count == 3 && second == first)
    harness.settle(closingFlows: true)
    #expect(harness.violation == nil && harness.closesCommitted == 3)
  }

  /// A takeover's backlog is behind the flows' counters, and counts.
  @Test func aSuccessorReportsWhatItHasNotProcessed() {
    let harness = harness()
    for _ in 0..<5 { harness.stamp(0) }
    harness.deliverToSecondary()
    #expect(harness.takeOver(epoch: 4).isEmpty && harness.primary.backlogCount == 5)
    var ends: [UInt32] = []
    harness.primary.reportWaiting(unit: 0) { ends.append($0.end) }
    #expect(ends.sorted() == [2, 3, 4, 5, 6])
  }
}
