import DEFTWire
import Testing

@testable import DEFTCore

/// A stamping unit fails, and both replicas of a pair are lost (paper, VI-C; R16): egress knows which generations have been.
@Suite struct LostPairUnitTests {
  private static let layout = FlowIDLayout(units: 2, slotsPerUnit: 8)
  private static func first(_ slot: Int) -> UInt32 { layout.first(unit: 1, slot: slot) }
  private static func on(_ flowID: UInt32, _ count: Int) -> UInt32 {
    (0..<count).reduce(flowID) { flowID, _ in layout.following(flowID) }
  }
  private func report(_ flowID: UInt32) -> SlotReport { SlotReport(flowID: flowID, end: 3, isEnded: false) }

  /// Whatever an earlier incarnation skipped to, and nobody let out, is at or before the floor; with as few generations as there
  /// may be, too.
  @Test(arguments: [FlowIDLayout(units: 1, slotsPerUnit: 1 << 23), layout])
  func theFloorIsBehindWhatAnyIncarnationMayHaveUsed(layout: FlowIDLayout) {
    let arena = TableArena()
    let known = layout.first(unit: 0, slot: 0)
    for isKnown in [true, false] {
      var used: [UInt32] = []
      for incarnation in UInt32(2)...129 {
        var pool = SlotPool(unit: 0, layout: layout, count: 1, incarnation: incarnation, memory: arena.allocate)
        if isKnown { pool.note(SlotReport(flowID: known, end: 2, isEnded: true, isCommitted: true)) }
        pool.resolve(0)
        used.append(pool.take()!)
      }
      var pool = SlotPool(unit: 0, layout: layout, count: 1, incarnation: 130, memory: arena.allocate)
      if isKnown { pool.note(SlotReport(flowID: known, end: 2, isEnded: false)) }
      #expect(pool.floor(0) == nil)
      pool.resolveLost(0)
      let ended = pool.endGeneration(0)
      let floor = pool.floor(0)!
      #expect(ended == nil && pool.unknownCount == 0 && pool.orphanCount == 0, "an open flow is no orphan: it is over")
      #expect(used.allSatisfy { layout.isLater(floor, than: $0) })
      let next = pool.take()
      #expect(next == layout.following(floor))
      pool.resolveLost(0)
      #expect(pool.floor(0) == floor, "resolved is resolved")
    }
  }

  @Test func anInquiryOfALostPairGoesToEgress() {
    let egress = NodeID(9)
    let pair = PairAssignment(
      epoch: 3, primary: NodeID(0), secondary: nil, standing: .none, policy: .hold, egress: egress)
    let next = PairAssignment(
      epoch: 4, primary: NodeID(0), secondary: NodeID(1), standing: .syncing, policy: .hold, egress: egress)
    var inheriting = GroupAssignment(pair: 0)
    (inheriting.version, inheriting.phase) = (4, .inheriting(from: 1, primary: NodeID(2), secondary: nil))
    var inquiry = GroupInquiry(slots: 8, isKnown: false)
    func learns(_ group: GroupAssignment, _ pair: PairAssignment) -> Bool { inquiry.learn(group, pair) }
    func tells(_ reporter: GroupInquiry.Reporter, _ end: Int) -> Bool { inquiry.told(reporter, upTo: end) }
    #expect(!learns(inheriting, pair) && inquiry.phase == .waiting && inquiry.due(.egress) == nil)
    inquiry.ownerHasNothing()
    #expect(inquiry.phase == .lost, "nobody waits for former owners")
    #expect(inquiry.due(.egress) == 0 && inquiry.due(.primary) == nil && inquiry.due(.secondary) == nil)
    #expect(!tells(.primary, 8) && !tells(.egress, 4) && inquiry.due(.egress) == 4)
    #expect(learns(inheriting, next) && inquiry.phase == .waiting, "another primary, or it has begun")
    inquiry.ownerHasNothing()
    #expect(inquiry.due(.egress) == 0 && tells(.egress, 8) && inquiry.phase == .known)
    inquiry.ownerHasNothing()
    #expect(inquiry.phase == .known)
  }

  /// No floor is left out because the slot was not known yet; and nothing is stamped before egress has the floors, too.
  @Test func aUnitEndsNothingThatItDoesNotKnow() {
    let arena = TableArena()
    var unit = StampingUnit(
      unit: 1, layout: Self.layout, seed: 1, idleTimeout: 1, incarnation: 2, memory: arena.allocate)
    let count = unit.table.slots.count
    unit.note(SlotReport(flowID: Self.first(0), end: 2, isEnded: true, isCommitted: true))
    unit.resolve(0..<2) { _ in true }
    var restart = UnitRestart(epoch: 4)
    for _ in 0..<3 { unit.endGenerations(&restart, limit: 4, isOwned: { _ in true }) }
    #expect(restart.phase == .ending && restart.slot == 2)
    unit.note(report(Self.on(Self.first(2), 40)))
    unit.resolveLost(2..<count) { _ in true }
    while restart.phase == .ending { unit.endGenerations(&restart, limit: 4, isOwned: { _ in true }) }
    var floors: [UInt32] = []
    while restart.phase == .telling {
      unit.tellFloors(&restart, limit: 4, isOwned: { _ in true }) { floors.append($0) }
    }
    #expect(floors.count == count && floors[2] == Self.on(Self.first(2), 170) && floors[3] == Self.on(Self.first(3), 129))
    #expect(restart.phase == .told && !unit.isRecovering)
    restart.primaryHasBegun()
    #expect(restart.phase == .over)
    var other = UnitRestart(epoch: 5)
    other.primaryHasBegun()
    #expect(other.phase == .ending, "of an earlier loss")
  }

  /// What it has been told may be lost with it, and a generation behind it be used, before egress has a floor.
  @Test func aPrimaryReportsOnceItHasBegun() {
    var options = HarnessOptions()
    options.replication.policy = .release
    let harness = PairHarness(options)
    harness.primary = PairHarness.Primary(
      function: options.function, configuration: options.replication, layout: harness.layout,
      prepares: BookLog(book: harness.prepares), commits: BookLog(book: harness.commits), closeCapacity: 16,
      hasSecondary: false, memory: harness.arena.allocate)
    harness.primary.restart(units: 1, egressTerm: 2)
    let floor = harness.layout.first(unit: 0, slot: 0)
    var inquiry = GroupInquiry(slots: 4, isKnown: false)
    let pair = PairAssignment(
      epoch: options.replication.epoch, primary: NodeID(0), secondary: nil, standing: .none, policy: .release,
      egress: NodeID(9))
    _ = inquiry.learn(GroupAssignment(pair: 0), pair)
    harness.primary.takeFloor(floor)
    harness.primary.floorsAreTold(by: 0)
    let tooEarly = harness.primary.mayReport(inquiry, group: 0)
    #expect(!tooEarly)
    _ = harness.tellEgress()
    harness.primary.egressTold(term: 2, byThis: true)
    let mayReport = harness.primary.mayReport(inquiry, group: 0)
    #expect(mayReport)
    var reports: [SlotReport] = []
    harness.primary.reportSlots(unit: 0, 0..<4, group: 0) { reports.append($0) }
    #expect(reports == [SlotReport(flowID: floor, end: 1, isEnded: true, isCommitted: true)])
  }

  /// Egress knows of each slot the last generation that has been, whatever a new one was told, and however often.
  @Test func egressReportsTheLastGeneration() {
    let bank = PacketBank()
    let arena = TableArena()
    var chain = EgressChain<PlainStorage>(layout: Self.layout, holdCapacity: 8, memory: arena.allocate)
    func generations() -> [UInt32] {
      var found: [UInt32] = []
      for group in 0..<2 { chain.reportSlots(unit: 1, 0..<8, group: group, of: 2) { found.append($0.flowID) } }
      return found
    }
    func decide(_ flowID: UInt32) -> EgressDecision {
      let metadata = PacketMetadata(time: 0, flowID: flowID, counter: 1, previousPassed: 0, layout: .opaque)
      return chain.decide(bank.make(metadata, content: (0, 0), references: 1))
    }
    #expect(generations() == [])
    let (out, unbegun, floor) = (Self.on(Self.first(2), 7), Self.on(Self.first(3), 9), Self.on(Self.first(4), 5))
    chain.begin(EgressEntry(flowID: out, last: 4, isClosed: false))
    chain.begin(EgressEntry(flowID: unbegun, last: 0, isClosed: false))
    chain.begin(EgressEntry(flowID: floor, last: 0, isClosed: true))
    let told = [out, floor, Self.on(Self.first(3), 8)]
    #expect(generations() == told, "of one of which nothing was let out the one before is over")
    // Another attempt: of what is open that may not have been, the one before; the others stand.
    for _ in 0..<3 { for slot in 2..<5 { chain.forgetBeginning(flowIndex: Self.layout.index(Self.first(slot))) } }
    #expect(generations() == [Self.on(Self.first(2), 6), floor, Self.on(Self.first(3), 8)])
    let first = decide(unbegun)
    let again = decide(out)
    #expect(first == .transmit && again == .transmit, "they begin with their first packets")
  }
}
