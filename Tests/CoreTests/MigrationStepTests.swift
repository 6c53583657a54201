import DEFTWire
import Testing

@testable import DEFTCore

/// Single rules of moves between pairs (R8, R11).
@Suite struct MigrationStepTests {
  private func harness(_ change: (inout HarnessOptions) -> Void = { _ in }) -> MigrationHarness {
    var options = HarnessOptions()
    options.replication.batch = 4
    options.replication.window = 8
    options.replication.stateClockPackets = 1000
    options.replication.policy = .release
    options.replication.acknowledgeTimeout = 20_000
    options.replication.flowGroups = 4
    options.slots = 16
    change(&options)
    let harness = MigrationHarness(options)
    for _ in 0..<2 {
      for flow in 0..<12 { harness.stamp(flow) }
      harness.pass()
    }
    harness.settle()
    harness.isLed = false
    return harness
  }
  private func finish(_ harness: MigrationHarness) {
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == harness.stamped)
  }
  private func source(_ harness: MigrationHarness) -> UnsafeMutablePointer<MigrationHarness.Primary> {
    harness.seats[0].primary!
  }
  private func target(_ harness: MigrationHarness) -> UnsafeMutablePointer<MigrationHarness.Primary> {
    harness.seats[2].primary!
  }
  private func learnAll(_ harness: MigrationHarness) {
    for seat in harness.seats { while !seat.notices.isEmpty { harness.learn(seat) } }
  }
  /// The map's word, and the states: whatever is to be frozen is, if there is room. Nothing else happens.
  private func freeze(_ harness: MigrationHarness) {
    learnAll(harness)
    for _ in 0..<8 {
      for pair in 0..<2 { harness.migrate(harness.seats[2 * pair]) }
      for pair in 0..<2 {
        harness.send(pair)
        harness.readMail(harness.seats[2 * pair + 1])
        harness.vote(harness.seats[2 * pair + 1])
        harness.readMail(harness.seats[2 * pair])
      }
    }
  }

  /// What was copied is not all: only what has changed since is sent again, while the group drains. It is not complete while
  /// what was processed is not at the secondary, and packets, those that pend among them, are kept.
  @Test func stateMovesBehindTheDrain() {
    let harness = harness()
    for _ in 0..<3 { harness.stamp(0) }
    let missing = harness.seats[0].input.remove(at: 1)
    harness.begin(0, to: 1)
    learnAll(harness)
    harness.migrate(harness.seats[0])
    #expect(source(harness).pointee.moveStatus(of: 0) == .copying)
    #expect(source(harness).pointee.counters.migration.entriesSent == 3)
    // Processed after the copy.
    harness.deliver(harness.seats[0])
    #expect(source(harness).pointee.pendingCount == 1)
    freeze(harness)
    harness.stamp(4)
    harness.deliver(harness.seats[0])
    #expect(source(harness).pointee.pendingCount == 0 && source(harness).pointee.keptCount(of: 0) == 2)
    for _ in 0..<5 { harness.migrate(harness.seats[0]) }
    #expect(source(harness).pointee.moveStatus(of: 0) == .draining)
    #expect(source(harness).pointee.counters.migration.entriesSent == 4)
    harness.seats[0].input.insert(missing, at: 0)
    finish(harness)
    #expect(harness.outcomes == [.done: 1])
    #expect(target(harness).pointee.counters.migration.entriesStaged == 3)
    #expect(target(harness).pointee.counters.migration.entriesRestaged == 1)
  }

  /// The first copy arrives, and nothing of it is heard: it is sent again, of a flow that has gone on. B has the first, and A
  /// cannot know which: it is sent a third time.
  @Test func repeatedCopyIsNotTrusted() {
    let harness = harness()
    harness.begin(0, to: 1)
    learnAll(harness)
    var log = BookLog(book: harness.seats[0].moves)
    var copies: [[UInt8]] = []
    for _ in 0..<2 {
      #expect(source(harness).pointee.continueMoves(to: 1, now: harness.now, into: &log))
      copies.append(harness.seats[0].moves.read()!)
      harness.stamp(0)
      harness.deliver(harness.seats[0])
      harness.now += 1_000_000
    }
    for bytes in copies { bytes.withUnsafeBytes { target(harness).pointee.receiveMove($0) } }
    finish(harness)
    #expect(harness.outcomes == [.done: 1])
    #expect(target(harness).pointee.counters.migration.entriesRestaged == 3)
    let moved = target(harness).pointee.flows.entry(harness.flowID(0)).pointee
    #expect(moved.next == 5)
  }

  /// The state is at B, and packets come there before B knows the map: they are kept.
  @Test func stagedStateIsInert() {
    let harness = harness()
    harness.begin(0, to: 1)
    for _ in 0..<40 where source(harness).pointee.moveStatus(of: 0) != .complete { harness.pass() }
    #expect(source(harness).pointee.moveStatus(of: 0) == .complete)
    let before = target(harness).pointee.digest()
    #expect(before.flows == 6 && target(harness).pointee.counters.migration.entriesStaged == 3)
    #expect(harness.propose(.commit, 0) == .accepted)
    while !harness.switchNotices.isEmpty { harness.learnAtSwitch() }
    for _ in 0..<3 { harness.stamp(0) }
    harness.deliver(harness.seats[2])
    #expect(target(harness).pointee.openCount == 0 && target(harness).pointee.keptCount(of: 0) == 3)
    #expect(target(harness).pointee.digest() == before)
    learnAll(harness)
    harness.deliver(harness.seats[2])
    #expect(target(harness).pointee.openCount == 3 && target(harness).pointee.digest().flows == 9)
    finish(harness)
  }

  /// Undone with the state at B: A goes on with what it kept, in order; B and B' forget.
  @Test(arguments: [0, 5, 40]) func undone(steps: Int) {
    let harness = harness()
    harness.begin(0, to: 1)
    for _ in 0..<steps where source(harness).pointee.moveStatus(of: 0) != .complete {
      harness.stamp(0)
      harness.pass()
    }
    #expect(harness.propose(.undo, 0) == .accepted)
    for _ in 0..<3 { harness.stamp(0) }
    finish(harness)
    #expect(harness.map.group(0).pair == 0 && target(harness).pointee.digest().flows == 6)
    // And once more, to its end.
    harness.begin(0, to: 1)
    harness.stamp(0)
    finish(harness)
    #expect(harness.map.group(0).pair == 1 && target(harness).pointee.digest().flows == 9)
  }

  /// Messages of an earlier attempt, or epoch, do nothing.
  @Test func staleMessagesAreDropped() {
    let harness = harness()
    harness.begin(0, to: 1)
    var early: [[UInt8]] = []
    for _ in 0..<40 where source(harness).pointee.moveStatus(of: 0) != .complete {
      harness.pass()
      var log = BookLog(book: harness.seats[0].moves)
      if source(harness).pointee.continueMoves(to: 1, now: harness.now + 1_000_000, into: &log) {
        while let bytes = harness.seats[0].moves.read() { early.append(bytes) }
      }
    }
    harness.propose(.undo, 0)
    harness.settle()
    harness.isLed = false
    let before = (target(harness).pointee.digest(), target(harness).pointee.counters.migration)
    #expect(!early.isEmpty)
    for bytes in early { bytes.withUnsafeBytes { target(harness).pointee.receiveMove($0) } }
    #expect(target(harness).pointee.digest() == before.0 && target(harness).pointee.moves.incoming.count == 0)
    #expect(target(harness).pointee.counters.migration.stale == before.1.stale + UInt64(early.count))
    finish(harness)
  }

  /// A replica that is younger than the move: what comes late to it begins no flow, and is forwarded.
  @Test func newReplicaForwardsWhatHasLeft() {
    let harness = harness()
    harness.begin(0, to: 1)
    harness.settle()
    var secondary = MigrationHarness.Secondary(
      initialState: ScriptedFunction.initialState, configuration: harness.options.replication, layout: harness.layout,
      isSyncing: true, memory: harness.arena.allocate)
    var moved = harness.map.group(0)
    #expect(moved.version == 5 && moved.phase == .settled && moved.pair == 1)
    secondary.learn(moved, group: 0)
    let metadata = PacketMetadata(time: 1, flowID: harness.flowID(0), counter: 1, layout: .opaque)
    var packet = harness.bank.make(metadata, content: (0, 0), references: 1)
    var unwanted = packet
    #expect(secondary.hold(&packet, count: 1, unwanted: &unwanted) == 0)
    #expect(secondary.heldCount == 0 && secondary.digest().flows == 0 && !secondary.isQuiescent)
    #expect(secondary.takeForwarded(into: &unwanted, capacity: 1) == 1 && unwanted == packet && secondary.isQuiescent)
    harness.giveBack(packet, 1, "the test")
    moved.version = 4
    secondary.learn(moved, group: 0)
    #expect(secondary.counters.migration.stale == 1)
    finish(harness)
  }

  /// No room for what pends: the group is not frozen before there is.
  @Test func goesOnWithWhatItHasNoRoomFor() {
    let harness = harness {
      $0.replication.kept = 2
      $0.secondaryBlock = 1
    }
    for _ in 0..<4 { harness.stamp(0) }
    let missing = harness.seats[0].input.removeFirst()
    harness.deliver(harness.seats[0])
    harness.begin(0, to: 1)
    freeze(harness)
    #expect(source(harness).pointee.moveStatus(of: 0) == .copying)
    #expect(source(harness).pointee.counters.migration.noRoom > 0)
    harness.seats[0].input = [missing]
    finish(harness)
    #expect(harness.outcomes == [.done: 1])
  }

  /// Full: no input is taken, nothing is lost.
  @Test func keepsNoMoreThanItHasRoomFor() {
    let harness = harness { $0.replication.kept = 4 }
    harness.begin(0, to: 1)
    freeze(harness)
    for _ in 0..<10 { harness.stamp(0) }
    for _ in 0..<3 { harness.deliver(harness.seats[0]) }
    #expect(source(harness).pointee.keptCount == 4 && source(harness).pointee.room == 0)
    #expect(harness.seats[0].input.count == 6)
    finish(harness)
    #expect(harness.outcomes == [.done: 1])
  }

  /// g moves from A to B while h moves from B to A, and what each keeps for the other is all that it has room for: what is
  /// forwarded is taken all the same.
  @Test func fullGatesDoNotWaitForEachOther() {
    let harness = harness { $0.replication.kept = 4 }
    for group in 0..<2 { harness.begin(group, to: 1 - group) }
    freeze(harness)
    for _ in 0..<6 { for flow in 0..<2 { harness.stamp(flow) } }
    for place in [0, 2] { harness.deliver(harness.seats[place]) }
    for primary in [source(harness), target(harness)] {
      #expect(primary.pointee.keptCount == 4 && primary.pointee.room == 0)
    }
    finish(harness)
    #expect(harness.outcomes == [.done: 2])
  }

  /// A thaw that finds no room in the pendingList: the gap before what pends is lost only up to what is kept.
  @Test func lossesEndAtWhatIsKept() {
    let harness = harness {
      $0.replication.pendingPerFlow = 1
      $0.replication.gapTimeout = 2_000
      $0.replication.inputCapacity = 1000
    }
    for _ in 0..<6 { harness.stamp(0) }
    // 3 and 4 are lost on both ways; 5, 6 and 8 pend, or would.
    for seat in [harness.seats[0], harness.seats[1]] {
      for packet in seat.input[0..<2] { harness.giveBack(packet, seat.primary != nil ? 2 : 1, "a path") }
      seat.input.removeFirst(2)
    }
    harness.seats[0].input.reverse()
    let flowID = harness.flowID(0)
    let next = source(harness).pointee.flows.entry(flowID).pointee.next
    for counter in next..<next + 2 { harness.runs[flowID]!.lose(counter, harness.options.function) }
    harness.begin(0, to: 1)
    freeze(harness)
    harness.deliver(harness.seats[0])
    #expect(source(harness).pointee.keptCount(of: 0) == 4)
    harness.propose(.undo, 0)
    harness.expectedLost = 2
    harness.settle()
    #expect(harness.violation == nil && harness.lost == 2 && harness.transmitted == harness.stamped - 2)
  }

  /// R8: copies that A' alone has come to B; R11: B waits for them before it declares anything lost.
  @Test func lossesWaitForBothFormerOwners() {
    let harness = harness {
      $0.replication.gapTimeout = 2_000
      $0.replication.inputCapacity = 1000
    }
    for _ in 0..<3 { harness.stamp(0) }
    // One of three is lost on its way to A; and A' is slow.
    let lost = harness.seats[0].input.removeFirst()
    harness.giveBack(lost, 2, "a path")
    let slow = harness.seats[1].input
    harness.seats[1].input = []
    harness.begin(0, to: 1)
    // Nobody leads any further than the commit.
    harness.isLed = true
    for _ in 0..<100 where !harness.map.group(0).isInheriting { harness.pass() }
    harness.isLed = false
    for _ in 0..<60 { harness.pass() }
    #expect(harness.lost == 0)
    #expect(harness.seats[3].secondary!.pointee.counters.migration.lossesDelayed > 0, "B' denies nothing before that")
    harness.seats[1].input = slow
    finish(harness)
    #expect(harness.outcomes == [.done: 1] && harness.lost == 0)
  }

  /// A question of A's reaches A' after the group has left: what A' keeps, to forward it, it does not deny.
  @Test func whatIsKeptIsNotDenied() {
    let harness = harness {
      $0.replication.gapTimeout = 2_000
      $0.replication.inputCapacity = 1000
    }
    for _ in 0..<3 { harness.stamp(0) }
    let lost = harness.seats[0].input.removeFirst()
    harness.giveBack(lost, 2, "a path")
    for place in 0..<2 { harness.deliver(harness.seats[place]) }
    for _ in 0..<3 {
      harness.now += 3_000
      harness.repair(harness.seats[0])
    }
    let questions = harness.seats[1].mail
    harness.seats[1].mail = []
    harness.begin(0, to: 1)
    freeze(harness)
    #expect(!questions.isEmpty && source(harness).pointee.moveStatus(of: 0) == .complete)
    harness.propose(.commit, 0)
    learnAll(harness)
    // It knows nothing of the flows any more.
    harness.deliver(harness.seats[1])
    harness.seats[1].mail = questions
    harness.readMail(harness.seats[1])
    #expect(harness.seats[1].secondary!.pointee.keptCount(of: 0) == 3)
    harness.seats[0].mail = []
    harness.repair(harness.seats[1])
    #expect(harness.seats[1].secondary!.pointee.counters.repair.missing == 0)
    finish(harness)
    #expect(harness.lost == 0)
  }
}
