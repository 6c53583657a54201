import DEFTWire
import Testing

@testable import DEFTCore

/// The secondary takes over (paper, VI-A), with any number of batches in doubt; a wrongly suspected primary can do nothing
/// more (R6, B4).
@Suite struct TakeoverTests {
  private func harness(_ change: (inout HarnessOptions) -> Void = { _ in }) -> FailoverHarness {
    var options = HarnessOptions()
    options.replication.batch = 4
    options.replication.window = 8
    options.replication.stateClockPackets = 1
    options.replication.policy = .release
    options.replication.acknowledgeTimeout = 5_000
    options.slots = 16
    change(&options)
    return FailoverHarness(options)
  }
  private func batches(_ harness: FailoverHarness, _ count: Int, flow: Int = 0) {
    for _ in 0..<count {
      for _ in 0..<harness.options.replication.batch { harness.stamp(flow) }
      harness.deliverToPrimary()
      harness.deliverToSecondary()
      harness.closeBatch(dry: false)
    }
  }
  private func voteForAll(_ harness: FailoverHarness) {
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMail() {}
    harness.vote()
    harness.tell()
    while harness.deliverToPrimaryNode() {}
  }

  /// The paper's case 1: the batch was voted for and not released; case 2: it was released and its state not sent.
  @Test(arguments: [false, true]) func batchesInDoubtLeaveOnce(wereReleased: Bool) {
    let harness = harness()
    batches(harness, 3)
    voteForAll(harness)
    if wereReleased {
      harness.release()
      harness.runEgress(7)
      harness.toEgress.removeAll { harness.bank.giveBack($0.packet, 1) }
    }
    harness.failPrimary()
    harness.replay(harness.primary)
    #expect(
      harness.primary.primary!.pointee.counters.replayedVoted == 12
        && harness.primary.primary!.pointee.counters.unprotected == 0)
    harness.release()
    #expect(harness.toEgress.count == 12, "released again, all of them")
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 12)
    #expect(harness.suppressed == (wereReleased ? 7 : 0))
  }

  @Test func holdKeepsWhatNobodyVotedFor() {
    let harness = harness { $0.replication.policy = .hold }
    batches(harness, 2)
    voteForAll(harness)
    batches(harness, 2, flow: 1)
    harness.failPrimary()
    for _ in 0..<20 {
      harness.now += 10_000
      harness.pass()
    }
    #expect(harness.transmitted == 8 && harness.primary.primary!.pointee.backlogCount == 8)
    #expect(harness.primary.primary!.pointee.room == 0, "the input waits, so that credit stops the stamper (R17)")
    #expect(harness.primary.primary!.pointee.counters.unprotected == 0 && harness.violation == nil)
  }

  @Test func releaseLetsGoAndCounts() {
    let harness = harness()
    batches(harness, 2)
    voteForAll(harness)
    batches(harness, 2, flow: 1)
    harness.failPrimary()
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 16)
    #expect(
      harness.primary.primary!.pointee.counters.unprotected == 8
        && harness.primary.primary!.pointee.counters.replayedVoted == 8)
  }

  /// R6: once the next epoch is promised, prepares of the old one are neither read nor voted for.
  @Test func promiseEndsTheOldStream() {
    let harness = harness()
    batches(harness, 2)
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMail() {}
    harness.secondary!.secondary!.pointee.promise(epoch: 4)
    harness.vote()
    #expect(harness.secondary!.secondary!.pointee.votedBatch == 0, "prepared, and void")
    batches(harness, 1)
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMail() {}
    harness.vote()
    #expect(
      harness.secondary!.secondary!.pointee.votedBatch == 0
        && harness.secondary!.secondary!.pointee.counters.staleEpochMessages == 1)
  }

  /// B4: what the old primary was given votes for before the promise it may still release (egress sorts it out); nothing else.
  @Test func wronglySuspectedPrimaryStepsDown() {
    for byMessage in [true, false] {
      let harness = harness()
      batches(harness, 2)
      voteForAll(harness)
      batches(harness, 1)
      harness.failPrimary(isDead: false)
      harness.settle()
      let old = harness.zombie
      #expect(old == nil && harness.violation == nil && harness.transmitted == 12, "by message \(byMessage)")
    }
  }
  @Test func steppedDownPrimaryGivesEverythingBack() {
    let harness = harness()
    harness.stamp(0)
    harness.stamp(0)
    harness.primary.input.swapAt(0, 1)
    harness.deliverToPrimary(1)
    #expect(harness.primary.primary!.pointee.pendingCount == 1)
    batches(harness, 3, flow: 1)
    voteForAll(harness)
    harness.release(5)
    harness.failPrimary(isDead: false)
    harness.runZombie()
    let released = harness.primary.primary!.pointee.counters.released
    harness.wakeZombie(byMessage: true)
    #expect(harness.violation == nil && released == 0)
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 14)
  }

  /// R8: a primary that was wrongly given up may have the only copies. What egress does not have comes out to be forwarded, in the
  /// order in which it came as far as it was processed; what egress has goes back.
  @Test func steppedDownPrimaryForwardsWhatEgressLacks() {
    let harness = harness()
    batches(harness, 1)
    voteForAll(harness)
    harness.release()
    batches(harness, 2)
    for _ in 0..<2 { harness.stamp(1) }
    harness.primary.input.swapAt(0, 1)
    harness.deliverToPrimary(1)
    let primary = harness.primary.primary!
    #expect(primary.pointee.pendingCount == 1 && primary.pointee.unreleasedCount == 0, "nothing is forwarded before")
    primary.pointee.stepDown()
    #expect(primary.pointee.unreleasedCount == 9)
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: 16)
    var others = packets
    var counters: [UInt32] = []
    while true {
      // In pieces: a path has little room.
      let count = primary.pointee.takeUnreleased(into: &packets, capacity: 4)
      guard count > 0 else { break }
      counters += packets[..<count].map { $0.pointee.counter }
      for packet in packets[..<count] { #expect(harness.bank.giveBack(packet, 2)) }
    }
    #expect(counters == [5, 6, 7, 8, 9, 10, 11, 12, 2] && primary.pointee.unreleasedCount == 0)
    let back = primary.pointee.takeAbandoned(released: &packets, kept: &others, capacity: 16)
    #expect(back == (4, 0), "what egress has")
    for packet in packets[..<4] { #expect(harness.bank.giveBack(packet, 1)) }
    primary.pointee.forwardedInput(1)
    #expect(primary.pointee.counters.forwarded == 10 && primary.pointee.counters.abandoned == 4)
  }

  /// A copy that finds no room in the new primary's pendingList stays, for nobody else has it. (With the same limits as the
  /// secondary's, and without repairs, there is always room.)
  @Test func copiesThatFindNoRoomAreTriedAgain() {
    let harness = harness()
    for _ in 0..<8 { harness.stamp(0) }
    harness.secondary!.input.reverse()
    harness.deliverToSecondary()
    harness.secondary!.secondary!.pointee.configuration.pending = 2
    harness.secondary!.secondary!.pointee.configuration.pendingPerFlow = 2
    harness.failPrimary()
    harness.settle()
    #expect(harness.primary.primary!.pointee.counters.pendingFull > 0)
    #expect(harness.violation == nil && harness.transmitted == 8)
  }

  @Test func oldestClocksAreForgottenWhenThereIsNoRoom() {
    let harness = harness {
      $0.replication.batch = 1
      $0.replication.pending = 1
      $0.replication.pendingPerFlow = 1
      $0.replication.window = 2
      $0.prepareLog = 50
      $0.commitLog = 50
    }
    for _ in 0..<20 {
      batches(harness, 1)
      voteForAll(harness)
    }
    #expect(harness.secondary!.secondary!.pointee.clocks.count <= 8)
    #expect(harness.secondary!.secondary!.pointee.counters.clocksForgotten >= 12)
    harness.failPrimary()
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 20)
  }
}
