import DEFTWire
import Testing

@testable import DEFTCore

/// A third node becomes the secondary while packets flow, and secondaries fail (R9, R17).
@Suite struct SnapshotTests {
  private func harness(
    _ policy: UnprotectedPolicy = .release, _ change: (inout HarnessOptions) -> Void = { _ in }
  ) -> FailoverHarness {
    var options = HarnessOptions()
    options.replication.batch = 4
    options.replication.window = 8
    options.replication.stateClockPackets = 4
    options.replication.policy = policy
    options.replication.snapshotChunk = 4
    options.replication.acknowledgeTimeout = 5_000
    options.slots = 16
    change(&options)
    return FailoverHarness(options)
  }
  private func traffic(_ harness: FailoverHarness, _ rounds: Int = 1) {
    for _ in 0..<rounds {
      for flow in 0..<12 { harness.stamp(flow) }
      harness.now += 2_000
      for _ in 0..<4 { harness.pass() }
    }
  }
  private func kinds(_ book: LogBook) -> [ControlMessageHeader.Kind] {
    book.messages.map { message in
      message.bytes.withUnsafeBytes { .init(rawValue: ControlMessageHeader(reading: $0.baseAddress!).kind)! }
    }
  }
  private func entries(_ bytes: [UInt8]) -> (header: ControlMessageHeader, states: [StateEntry]) {
    bytes.withUnsafeBytes { buffer in
      let header = ControlMessageHeader(reading: buffer.baseAddress!)
      let states = (0..<Int(header.count)).map {
        StateEntry(reading: buffer.baseAddress! + ControlMessageHeader.byteCount + $0 * Int(header.detail))
      }
      return (header, states)
    }
  }

  @Test(arguments: [UnprotectedPolicy.hold, .release]) func thirdNodeTakesOverLater(policy: UnprotectedPolicy) {
    let harness = harness(policy)
    traffic(harness, 3)
    harness.failPrimary()
    traffic(harness, policy == .release ? 2 : 0)
    harness.pass()
    harness.addSecondary()
    traffic(harness, 4)
    #expect(harness.assignment.standing == .inSync && harness.syncsFinished == 1)
    traffic(harness)
    harness.failPrimary()
    harness.pass()
    harness.addSecondary()
    traffic(harness, 4)
    harness.settle(withSecondary: true)
    #expect(harness.violation == nil && harness.takeovers == 2 && harness.syncsFinished == 2)
    #expect(harness.transmitted == harness.stamped)
  }

  /// A flow that a packet touches before the sweep is there gets its entry first, as of before that packet, and only once.
  @Test func entriesAreAsOfBeforeTheFirstPacket() {
    let harness = harness { $0.replication.snapshotChunk = 1 }
    traffic(harness, 2)
    harness.failSecondary()
    harness.settle()
    harness.addSecondary()
    harness.stamp(11)
    harness.deliverToPrimary()
    harness.closeBatch(dry: true)
    let messages = harness.primary.prepares!.messages.map(\.bytes)
    #expect(kinds(harness.primary.prepares!) == [.base, .prepare])
    let base = entries(messages[0])
    let flow = harness.layout.first(unit: 0, slot: 11)
    #expect(base.states.map(\.flowID) == [flow] && base.states[0].next == 3 && base.states[0].lastPassed == 2)
    #expect(harness.clockNext(messages[1]) == [4])
    harness.settle(withSecondary: true)
    let all = harness.primary.prepares!.messages.filter { entries($0.bytes).header.kind == base.header.kind }
    let flows = all.flatMap { entries($0.bytes).states.map(\.flowID) }
    #expect(flows.count == 12 && Set(flows).count == 12)
    #expect(harness.violation == nil)
  }

  enum Blocker: CaseIterable { case notDrained, pending, openBatch, unacknowledged }

  /// What was stamped before the rule change, and only the primary has, comes first; so does what is pending; and egress
  /// has what the snapshot contains. Each keeps the end back by itself.
  @Test(arguments: Blocker.allCases) func endWaitsForWhatOnlyThePrimaryHas(blocker: Blocker) {
    let harness = harness()
    traffic(harness)
    harness.failSecondary()
    harness.settle()
    for _ in 0..<3 { harness.stamp(0) }
    let missing = harness.primary.input[1]
    if blocker == .pending { harness.primary.input.remove(at: 1) }
    harness.deliverToPrimary()
    harness.closeBatch(dry: true)
    harness.release()
    if blocker != .unacknowledged {
      harness.runEgress()
      harness.acknowledge()
    }
    harness.addSecondary()
    if blocker == .openBatch {
      harness.stamp(0)
      harness.deliverToPrimary()
    }
    func ended() -> Bool {
      for _ in 0..<10 { _ = harness.primary.primary!.pointee.continueSync(now: harness.now) }
      return kinds(harness.primary.prepares!).contains(.baseEnd)
    }
    if blocker != .notDrained { harness.primary.primary!.pointee.drained() }
    #expect(!ended())
    switch blocker {
    case .notDrained: harness.primary.primary!.pointee.drained()
    case .pending:
      harness.primary.input = [missing]
      harness.deliverToPrimary()
      harness.closeBatch(dry: true)
    case .openBatch: harness.closeBatch(dry: true)
    case .unacknowledged:
      harness.runEgress()
      harness.acknowledge()
    }
    #expect(ended())
    harness.settle(withSecondary: true)
    #expect(harness.violation == nil)
  }

  @Test func holdReleasesNothingBeforeTheMapSaysInSync() {
    let harness = harness(.hold)
    traffic(harness, 2)
    harness.failPrimary()
    harness.settle()
    let before = harness.transmitted
    for flow in 0..<4 { harness.stamp(flow) }
    harness.addSecondary()
    for flow in 0..<4 { harness.stamp(flow) }
    for _ in 0..<4 {
      harness.now += 2_000
      harness.deliverToPrimary()
      harness.deliverToSecondary()
      harness.closeBatch(dry: true)
      while harness.sendToSecondary(commit: false) {}
      while harness.deliverMail() {}
      harness.repair()
      harness.vote()
      harness.tell()
      while harness.deliverToPrimaryNode() {}
      harness.release()
    }
    #expect(harness.primary.primary!.pointee.counters.batchesVoted > 0 && harness.transmitted == before)
    #expect(harness.toEgress.isEmpty, "voted for by one that syncs")
    harness.settle(withSecondary: true)
    #expect(harness.violation == nil && harness.primary.primary!.pointee.counters.unprotected == 0)
  }

  /// What went without a vote during the sync must be voted for before the secondary counts: it could not follow egress's
  /// chain past a packet that it does not have.
  @Test func whatWentWithoutAVoteIsVotedForFirst() {
    let harness = harness()
    traffic(harness)
    harness.failSecondary()
    harness.settle()
    harness.addSecondary()
    for _ in 0..<20 {
      harness.continueSync()
      while harness.sendToSecondary(commit: false) {}
      while harness.deliverMail() {}
    }
    #expect(kinds(harness.primary.prepares!).contains(.baseEnd))
    // Released after the end, and the secondary has no copy yet.
    harness.stamp(3)
    harness.deliverToPrimary()
    harness.closeBatch(dry: true)
    harness.release()
    #expect(harness.toEgress.count == 1)
    harness.tellSynced()
    while harness.deliverToPrimaryNode() {}
    #expect(!harness.isSyncComplete)
    harness.stamp(4)
    harness.deliverToPrimary()
    harness.closeBatch(dry: true)
    harness.release()
    #expect(harness.toEgress.count == 1, "from now on nothing goes without a vote")
    harness.deliverToSecondary()
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMail() {}
    harness.vote()
    harness.tell()
    while harness.deliverToPrimaryNode() {}
    #expect(harness.isSyncComplete)
    harness.settle(withSecondary: true)
    #expect(harness.violation == nil)
  }

  @Test(arguments: [UnprotectedPolicy.hold, .release]) func secondariesFailDuringTheSync(policy: UnprotectedPolicy) {
    for steps in 0..<12 {
      let harness = harness(policy) { $0.replication.snapshotChunk = 2 }
      traffic(harness, 2)
      for _ in 0..<3 {
        harness.failSecondary()
        harness.addSecondary()
        for step in 0..<steps {
          harness.stamp(step)
          harness.pass()
        }
      }
      harness.settle(withSecondary: true)
      #expect(harness.violation == nil, "\(steps) steps: \(harness.violation!)")
      harness.failPrimary()
      harness.settle(withSecondary: true)
      #expect(harness.violation == nil, "\(steps) steps: \(harness.violation!)")
    }
  }

  @Test func oneThatSyncsIsNotPromoted() async {
    await #expect(processExitsWith: .failure) {
      let harness = FailoverHarness(HarnessOptions())
      harness.failSecondary()
      harness.addSecondary()
      harness.secondary!.secondary!.pointee.becomeInSync()
    }
  }

  /// R13: a repeated message changes nothing and is answered again; a gap is refused.
  @Test func baseMessagesAreNumbered() {
    let harness = harness { $0.replication.snapshotChunk = 2 }
    traffic(harness)
    harness.failSecondary()
    harness.settle()
    harness.addSecondary()
    for _ in 0..<6 { _ = harness.primary.primary!.pointee.continueSync(now: harness.now) }
    let messages = harness.primary.prepares!.messages.map(\.bytes)
    #expect(messages.count >= 3)
    let secondary = harness.secondary!.secondary!
    func take(_ bytes: [UInt8]) { bytes.withUnsafeBytes { secondary.pointee.receive($0) } }
    take(messages[1])
    #expect(secondary.pointee.counters.impossibleMessages == 1 && !secondary.pointee.syncedIsDue)
    take(messages[0])
    take(messages[1])
    harness.tellSynced()
    let digest = secondary.pointee.digest().digest
    take(messages[0])
    #expect(secondary.pointee.syncedIsDue && secondary.pointee.counters.repeatedMessages == 1)
    #expect(secondary.pointee.snapshot.applied == 2 && secondary.pointee.digest().digest == digest)
  }

  /// The rule may change before the sync begins: copies from before the entry are covered, those behind it stay known.
  @Test func entryDoesNotForgetCopiesThatCameBefore() {
    let harness = harness()
    harness.failSecondary()
    harness.addSecondary()
    let secondary = harness.secondary!.secondary!
    let flow = harness.layout.first(unit: 0, slot: 0)
    for _ in 0..<3 { harness.stamp(0) }
    harness.deliverToSecondary()
    let size = ReplicationConfiguration.stateEntryBytes(stateSize: MemoryLayout<ScriptedFunction.State>.size)
    var bytes = [UInt8](repeating: 0, count: ControlMessageHeader.byteCount + size)
    bytes.withUnsafeMutableBytes {
      ControlMessageHeader(
        kind: .base, pair: 7, epoch: harness.assignment.epoch, batch: 1, count: 1, detail: UInt32(size),
        length: $0.count
      ).write(to: $0.baseAddress!)
      StateEntry(flowID: flow, next: 2, lastPassed: 1, isClosed: false, time: 5).write(
        to: $0.baseAddress! + ControlMessageHeader.byteCount)
    }
    bytes.withUnsafeBytes { secondary.pointee.receive($0) }
    #expect(secondary.pointee.flows.entry(flow).pointee.next == 4)
    #expect(secondary.pointee.appliedNext[harness.layout.index(flow)] == 2)
    #expect(secondary.pointee.counters.impossibleMessages == 0 && secondary.pointee.counters.basesApplied == 1)
  }

  /// R2: what the way to egress loses comes again, once each time-out, until it is acknowledged; and nothing else.
  @Test func lostReleasesComeAgain() {
    let harness = harness()
    for flow in 0..<4 { harness.stamp(flow) }
    for _ in 0..<2 {
      harness.now += 1_000
      harness.deliverToPrimary()
      harness.deliverToSecondary()
      harness.closeBatch(dry: true)
      while harness.sendToSecondary(commit: false) {}
      while harness.deliverMail() {}
      harness.vote()
      harness.tell()
      while harness.deliverToPrimaryNode() {}
      harness.release()
    }
    #expect(harness.toEgress.count == 4)
    let lost = harness.toEgress.remove(at: 1)
    #expect(harness.bank.giveBack(lost.packet, 1))
    harness.runEgress()
    harness.acknowledge()
    #expect(harness.transmitted == 3 && harness.ledger.acknowledged == 1, "one flow waits, the others do not")
    harness.retransmit()
    harness.now += 4_999
    harness.retransmit()
    #expect(harness.retransmitted == 0)
    harness.now += 1
    harness.retransmit(1)
    #expect(harness.retransmitted == 1 && harness.toEgress.count == 1)
    harness.retransmit()
    #expect(harness.retransmitted == 1, "not before the next time-out")
    harness.runEgress()
    harness.acknowledge()
    #expect(harness.transmitted == 4 && harness.ledger.acknowledged == 4)
    harness.now += 10_000
    harness.retransmit()
    harness.now += 10_000
    harness.retransmit()
    #expect(harness.retransmitted == 1)
    harness.settle()
    #expect(harness.violation == nil)
  }

  /// R16: a new primary answers for closes that the dead one did not give notice of.
  @Test func committedClosesAreKnownAfterATakeover() {
    let harness = harness()
    harness.stamp(0)
    harness.stamp(1)
    harness.close(0)
    harness.settle()
    let (closed, open) = (harness.layout.first(unit: 0, slot: 0), harness.layout.first(unit: 0, slot: 1))
    harness.failPrimary()
    #expect(harness.isCloseCommitted(closed))
    #expect(!harness.isCloseCommitted(open))
    harness.close(1)
    harness.deliverToPrimary()
    #expect(!harness.isCloseCommitted(open), "processed, not committed")
    harness.settle()
    #expect(harness.nextCommittedClose() == open)
    #expect(harness.isCloseCommitted(open) && harness.violation == nil)
  }
}
