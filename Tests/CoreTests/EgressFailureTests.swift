import DEFTWire
import Testing

@testable import DEFTCore

/// An egress fails, and another is told where to begin (R12).
@Suite struct EgressFailureTests {
  /// Five packets released, of which the third was dropped and the first was acknowledged; one more is processed.
  private func harness(_ ambiguity: AmbiguityPolicy) -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 1
    options.replication.window = 8
    options.replication.stateClockPackets = 1
    options.replication.ambiguity = ambiguity
    options.function.dropBelow = 1
    let harness = PairHarness(options)
    for counter in 1...5 { harness.stamp(0, word: counter == 3 ? 0x100 : 0xff) }
    for _ in 0..<8 { process(harness) }
    harness.release()
    harness.runEgress(1)
    harness.acknowledge()
    harness.stamp(0)
    process(harness)
    return harness
  }
  private func process(_ harness: PairHarness) {
    harness.deliverToPrimary(1)
    harness.closeBatch(dry: true)
    harness.deliverToSecondary()
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMessageToSecondary() {}
    harness.vote()
    harness.tell()
    while harness.deliverMessageToPrimary() {}
  }
  private func flow(_ harness: PairHarness) -> UInt32 { harness.runs.keys.min()! }
  /// The last entry of each flow counts.
  private func last(_ entries: [EgressEntry]) -> EgressEntry? { entries.last }

  @Test(arguments: [AmbiguityPolicy.resend, .discard]) func theNewEgressBeginsWhereItIsTold(ambiguity: AmbiguityPolicy) {
    let harness = harness(ambiguity)
    #expect(harness.transmitted.map(\.counter) == [1] && harness.releaseSequence == 4)
    harness.replaceEgress()
    harness.primary.egressChanged(term: 2)
    #expect(harness.tellsEgress && harness.ambiguousCount == 3)
    let (entries, isComplete) = harness.tellEgress()
    #expect(isComplete && harness.tellsEgress, "told when it says so")
    // 2, 4, 5 may have left; 6 was not sent.
    let begin = EgressEntry(flowID: flow(harness), last: ambiguity == .resend ? 1 : 5, isClosed: false)
    #expect(last(entries) == begin)
    for entry in entries { harness.egress.begin(entry) }
    harness.primary.egressTold(term: 2, byThis: true)
    #expect(!harness.tellsEgress && harness.primary.counters.ambiguous == 3)

    let again = harness.retransmit()
    #expect(again.first == 1 && again.counters == [2, 4, 5], "at once")
    harness.release()
    let decisions = harness.decideAll()
    #expect(decisions.map(\.counter) == [2, 4, 5, 6])
    let ambiguous: EgressDecision = ambiguity == .resend ? .transmit : .suppress
    #expect(decisions.map(\.decision) == [ambiguous, ambiguous, ambiguous, .transmit])
  }

  /// What an earlier egress says after the new one was told would let the state clock pass packets that nobody sends again.
  @Test func theOldEgressCountsNoMore() {
    let harness = harness(.resend)
    harness.primary.egressChanged(term: 2)
    #expect(!harness.primaryIsAcknowledged(4, byTerm: 1) && harness.acknowledgedByEgress == 1)
    #expect(!harness.primaryIsAcknowledged(4, byTerm: 2), "not told yet: it cannot know")
    _ = harness.tellEgress()
    harness.primary.egressTold(term: 2, byThis: true)
    #expect(!harness.primaryIsAcknowledged(4, byTerm: 1) && harness.acknowledgedByEgress == 1)
    #expect(harness.primaryIsAcknowledged(4, byTerm: 2) && harness.acknowledgedByEgress == 4)
  }

  @Test func nothingIsSentBeforeEgressKnows() {
    let harness = harness(.resend)
    harness.primary.egressChanged(term: 2)
    harness.now += 1_000_000_000
    #expect(harness.retransmit().counters.isEmpty)
    _ = harness.tellEgress()
    #expect(harness.retransmit().counters.isEmpty)
    // No answer: from the beginning, as another attempt.
    let attempt = harness.tellingAttempt
    harness.now += harness.options.replication.acknowledgeTimeout
    let (entries, isComplete) = harness.tellEgress()
    #expect(isComplete && !entries.isEmpty && harness.tellingAttempt == attempt + 1)
    harness.primary.egressTold(term: 1, byThis: true)
    #expect(harness.tellsEgress, "another's answer")
    harness.primary.egressTold(term: 2, byThis: true)
    harness.primary.egressTold(term: 2, byThis: true)
    #expect(harness.primary.counters.ambiguous == 3, "counted once")
  }

  /// A successor does not know what was released: all that was voted for may have been, and counts as ambiguous.
  @Test(arguments: [false, true]) func aSuccessorTellsWhatItInherits(isFirst: Bool) {
    let harness = harness(.resend)
    for bytes in [harness.toEgress] { for (packet, _) in bytes { harness.giveBack(packet, 1, "the way") } }
    harness.toEgress = []
    // Of the dead primary's six packets the state clock of none has come.
    var heir = PairHarness.Secondary(
      initialState: ScriptedFunction.initialState, configuration: harness.options.replication, layout: harness.layout,
      memory: harness.arena.allocate)
    swap(&heir, &harness.secondary)
    heir.forEachHeld { harness.bank.addReference($0) }
    harness.primary = PairHarness.Primary(
      takingOver: heir, epoch: 4, function: harness.options.function, prepares: BookLog(book: harness.prepares),
      commits: BookLog(book: harness.commits), closeCapacity: 16, memory: harness.arena.allocate)
    harness.primary.egressChanged(term: 2)
    let early = harness.tellEgress()
    #expect(!early.isComplete, "what was voted for has to be processed first")
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: 16)
    _ = harness.primary.replay(unwanted: &unwanted, capacity: 16, now: harness.now)
    let (entries, isComplete) = harness.tellEgress()
    #expect(isComplete && last(entries) == EgressEntry(flowID: flow(harness), last: 0, isClosed: false))
    #expect(harness.ambiguousCount == 5, "1, 2, 4, 5, 6: nothing was released by this one")
    harness.primary.egressTold(term: 2, byThis: isFirst)
    #expect(harness.primary.counters.ambiguous == (isFirst ? 5 : 0) && !harness.tellsEgress)
  }

  /// The dead primary has freed what it sent the state clock of, and no state clock has come: more was voted for than
  /// `retained`. None of it is acknowledged before the egress was told, and all of it must be processed before that.
  @Test(arguments: [AmbiguityPolicy.resend, .discard]) func moreIsInheritedThanIsRetained(ambiguity: AmbiguityPolicy) {
    var options = HarnessOptions()
    options.replication.batch = 1
    options.replication.window = 8
    options.replication.stateClockPackets = 1
    options.replication.retained = 16
    options.replication.policy = .release
    (options.replication.pending, options.replication.pendingPerFlow) = (4, 4)
    options.replication.ambiguity = ambiguity
    options.commitLog = 64
    let harness = PairHarness(options)
    for _ in 0..<40 {
      harness.stamp(0)
      process(harness)
      harness.release()
      harness.runEgress()
      harness.acknowledge()
      harness.freeAtPrimary()
    }
    #expect(harness.transmitted.count == 40 && harness.secondary.heldCount == 40 && harness.violation == nil)

    harness.replaceEgress()
    var heir = PairHarness.Secondary(
      initialState: ScriptedFunction.initialState, configuration: options.replication, layout: harness.layout,
      memory: harness.arena.allocate)
    swap(&heir, &harness.secondary)
    heir.forEachHeld { harness.bank.addReference($0) }
    harness.primary = PairHarness.Primary(
      takingOver: heir, epoch: 4, function: options.function, prepares: BookLog(book: harness.prepares),
      commits: BookLog(book: harness.commits), closeCapacity: 16, memory: harness.arena.allocate)
    harness.primary.egressChanged(term: 2)
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: 64)
    for turn in 0..<8 {
      if turn == 0 { #expect(harness.tellEgress().entries.isEmpty, "flows go on while voted copies are processed") }
      #expect(harness.primary.replay(unwanted: &packets, capacity: 7, now: harness.now) == 0)
    }
    let (entries, isComplete) = harness.tellEgress()
    #expect(isComplete && harness.ambiguousCount == 40 && harness.primary.maySync)
    #expect(last(entries) == EgressEntry(flowID: flow(harness), last: ambiguity == .resend ? 0 : 40, isClosed: false))
    for entry in entries { harness.egress.begin(entry) }
    harness.primary.egressTold(term: 2, byThis: true)
    #expect(harness.primary.counters.ambiguous == 40 && harness.primary.room == 0, "`retained` bounds the input")

    #expect(harness.primary.release(into: &packets, capacity: 64) == 40)
    let decisions = packets[..<40].map { harness.egressDecides($0) }
    #expect(decisions == [EgressDecision](repeating: ambiguity == .resend ? .transmit : .suppress, count: 40))
    #expect(!harness.primaryIsAcknowledged(40, byTerm: 2), "there is nobody to tell")
    var dropped = packets
    #expect(harness.primary.takeFreed(passed: &packets, dropped: &dropped, capacity: 64).passed == 40)
    #expect(harness.primary.room == 1)
  }

  @Test func whatIsKnownOfAClosedFlow() {
    var options = HarnessOptions()
    options.replication.stateClockPackets = 1
    options.idleTimeout = 100_000
    let harness = PairHarness(options)
    harness.stamp(0)
    harness.now += 200_000
    while harness.sweep() == 0 { harness.now += 20_000 }
    for _ in 0..<8 {
      harness.now += 10_000
      harness.pass()
    }
    harness.primary.egressChanged(term: 2)
    let (entries, _) = harness.tellEgress()
    #expect(entries == [EgressEntry(flowID: flow(harness), last: 2, isClosed: true)])
    for entry in entries { harness.egress.begin(entry) }
    let old = harness.strayPacket(flow(harness), 1)
    let new = harness.strayPacket(harness.layout.following(flow(harness)), 1)
    #expect(harness.egressDecides(old) == .suppress && harness.egressDecides(new) == .transmit)
  }

  /// What no vote covers dies with the primary that told of it; the slot goes on with a later generation.
  @Test func aFlowOfWhichNothingLeftMayNeverHaveBeen() {
    let harness = PairHarness(HarnessOptions())
    harness.stamp(0)
    harness.deliverToPrimary(1)
    harness.primary.egressChanged(term: 2)
    let (entries, isComplete) = harness.tellEgress()
    #expect(isComplete && last(entries) == EgressEntry(flowID: flow(harness), last: 0, isClosed: false))
    for entry in entries { harness.egress.begin(entry) }
    let next = harness.layout.skipping(flow(harness), by: 4)
    #expect(harness.egressDecides(harness.strayPacket(next, 1)) == .transmit)
  }

  /// The dead primary had told of packets that nobody has, and not yet that they were not let out.
  @Test func whatAnEarlierAttemptSaidDoesNotCount() {
    let harness = PairHarness(HarnessOptions())
    harness.stamp(0)
    harness.egress.begin(EgressEntry(flowID: flow(harness), last: 1, isClosed: false))
    harness.egress.forgetBeginning(flowIndex: harness.layout.index(flow(harness)))
    let next = harness.layout.skipping(flow(harness), by: 4)
    #expect(harness.egressDecides(harness.strayPacket(next, 1)) == .transmit)
  }

  // MARK: the egress's side

  @Test func partsCountInOrderOfOneAttempt() {
    var beginning = EgressBeginning(term: 2)
    func takes(_ stream: UInt32, _ attempt: UInt32, _ number: UInt32) -> Bool {
      beginning.takes(stream: stream, attempt: attempt, number: number)
    }
    #expect(!beginning.isTold && !takes(5, 1, 1), "the first one was lost")
    #expect(takes(5, 2, 0) && takes(5, 2, 1) && !takes(5, 2, 1) && !takes(5, 2, 3) && !takes(5, 2, 0))
    #expect(!takes(4, 9, 0), "an earlier primary")
    #expect(!takes(5, 3, 2) && takes(6, 1, 0) && !takes(5, 2, 2) && takes(6, 1, 1))
    beginning.finish()
    #expect(beginning.isTold && beginning.teller == 6 && !takes(7, 1, 0), "told once")
    #expect(EgressBeginning(term: 1).isTold, "the first egress begins with flows that begin")
  }

  @Test func aLedgerGoesOnWhereTheOldOneWas() {
    let arena = TableArena()
    var ledger = ReleaseLedger(capacity: 64, memory: arena.allocate)
    ledger.begin(3, acknowledged: 7)
    ledger.settle(stream: 3, from: 8, count: 1)
    #expect(ledger.acknowledged == 7)
    ledger.settle(stream: 3, from: 7, count: 1)
    #expect(ledger.acknowledged == 9)
  }

  @Test func theMapNamesOneEgress() {
    let (p, s, e, f) = (NodeID(1), NodeID(2), NodeID(9), NodeID(8))
    var map = ClusterMap(pairs: [PairAssignment(primary: p, secondary: s, standing: .inSync, policy: .hold, egress: e)])
    func fail(_ term: UInt32, _ replacement: NodeID) -> MapOutcome {
      map.propose(.egressFailed(term: term, replacement: replacement), pair: 0, ifEpoch: 1)
    }
    #expect(fail(1, p) == .refused(.occupied) && fail(1, s) == .refused(.occupied))
    #expect(fail(1, f) == .accepted(.tellEgress) && map[0].egress == f && map[0].egressTerm == 2 && map[0].epoch == 1)
    #expect(fail(1, e) == .refused(.otherEpoch), "somebody else was first")
    #expect(fail(2, f) == .accepted(.tellEgress) && map[0].egressTerm == 3, "the same node, with nothing")
    #expect(map.propose(.secondaryAdded(f), pair: 0, ifEpoch: 1) == .refused(.standing))
  }
}
