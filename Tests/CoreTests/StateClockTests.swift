import DEFTWire
import Testing

@testable import DEFTCore

/// When a state clock is taken, what is in it, when it is sent, and what it frees (R2, R3).
@Suite struct StateClockTests {
  private func harness(_ change: (inout HarnessOptions) -> Void = { _ in }) -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 4
    options.replication.window = 8
    options.replication.stateClockPackets = 1
    change(&options)
    return PairHarness(options)
  }

  private func processBatch(_ harness: PairHarness, flow: Int = 0, word: UInt64 = 0xff) {
    for _ in 0..<harness.options.replication.batch { harness.stamp(flow, word: word) }
    harness.deliverToPrimary()
    harness.closeBatch(dry: false)
  }
  private func voteForAll(_ harness: PairHarness) {
    harness.deliverToSecondary()
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMessageToSecondary() {}
    harness.vote()
    harness.tell()
    while harness.deliverMessageToPrimary() {}
  }

  @Test func commitWaitsForTheAcknowledgementOfEgress() {
    let harness = harness()
    processBatch(harness)
    #expect(harness.commits.messages.count == 1, "taken with the batch")
    #expect(!harness.sendToSecondary(commit: true))
    voteForAll(harness)
    harness.acknowledge()
    #expect(!harness.sendToSecondary(commit: true), "voted, not released")
    harness.release()
    harness.runEgress(3)
    harness.acknowledge()
    #expect(!harness.sendToSecondary(commit: true), "one packet is still on its way")
    #expect(harness.freeAtPrimary() == 0, "kept for repair (R10)")
    harness.runEgress(1)
    harness.acknowledge()
    #expect(harness.sendToSecondary(commit: true))
    #expect(harness.freeAtPrimary() == 4 && harness.freeAtSecondary() == 0)
    harness.deliverMessageToSecondary()
    #expect(harness.freeAtSecondary() == 4 && harness.secondary.heldCount == 0)
    #expect(harness.violation == nil)
  }

  /// The vote is needed even if egress acknowledges by mistake, or if the NF dropped everything.
  @Test func commitWaitsForTheVote() {
    let harness = harness { $0.function.dropBelow = 1 }
    processBatch(harness, word: 0)
    #expect(!harness.primaryIsAcknowledged(100) && !harness.sendToSecondary(commit: true))
    voteForAll(harness)
    #expect(harness.primaryIsAcknowledged(0), "nothing was passed, so there is nothing to acknowledge")
    // Found by the seeds: the output buffer's place may only be used again when `release` has walked over it.
    #expect(harness.freeAtPrimary() == 0)
    #expect(harness.release() == 0 && harness.freeAtPrimary() == 4)
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted.isEmpty)
  }

  @Test func commitCarriesTheStateAsOfItsBatch() {
    let harness = harness()
    processBatch(harness)
    processBatch(harness)
    voteForAll(harness)
    harness.release()
    harness.runEgress(4)
    harness.acknowledge()
    #expect(harness.sendToSecondary(commit: true) && !harness.sendToSecondary(commit: true))
    let (header, entries) = harness.states(harness.messagesToSecondary[0])
    #expect(header.batch == 1 && entries.count == 1)
    #expect(entries[0].entry.next == 5 && entries[0].entry.lastPassed == 4)
    #expect(entries[0].state.packets == 4 && entries[0].state.lastCounter == 4)
    harness.deliverMessageToSecondary()
    #expect(harness.freeAtSecondary() == 4 && harness.secondary.heldCount == 4, "copies of the second batch stay")
    #expect(harness.secondary.appliedBatch == 1)
    #expect(harness.violation == nil)
  }

  @Test func clocksAreCumulativeOverBatches() {
    let harness = harness {
      $0.replication.stateClockPackets = 10
      $0.replication.stateClockInterval = 1 << 40
    }
    for flow in 0..<5 { processBatch(harness, flow: flow % 2) }
    // After 12 packets, at the close of the third batch.
    #expect(harness.commits.messages.count == 1)
    let (header, entries) = harness.states(harness.commits.messages[0].bytes)
    #expect(header.batch == 3 && entries.count == 2)
    harness.closeBatch(dry: true)
    #expect(harness.commits.messages.count == 1, "quiet, but not for long enough")
    harness.now += 1 << 40
    harness.closeBatch(dry: true)
    #expect(harness.commits.messages.count == 2)
    harness.closeBatch(dry: true)
    #expect(harness.commits.messages.count == 2, "nothing happened since")
    harness.settle()
    #expect(harness.violation == nil)
  }

  /// No more state clocks than the table of them holds; the next one covers what was left out.
  @Test func stateClocksNotYetSentAreBounded() {
    let harness = harness {
      $0.replication.batch = 1
      $0.commitLog = 50
    }
    for _ in 0..<80 {
      processBatch(harness)
      voteForAll(harness)
      harness.release()
    }
    #expect(harness.primary.counters.stateClocksTaken == 64)
    harness.settle()
    #expect(harness.violation == nil && harness.secondary.appliedBatch == 80)
  }

  @Test func dropsBreakNoChain() {
    let harness = harness { $0.function.dropBelow = 1 }
    let words: [UInt64] = [1, 0, 0, 1, 0, 1, 1, 0]
    for word in words { harness.stamp(0, word: word) }
    for _ in 0..<2 {
      harness.deliverToPrimary()
      harness.closeBatch(dry: false)
    }
    voteForAll(harness)
    harness.release()
    #expect(harness.toEgress.map { $0.packet.pointee.counter } == [1, 4, 6, 7])
    #expect(harness.toEgress.map { $0.packet.pointee.previousPassed } == [0, 1, 4, 6])
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted.map(\.counter) == [1, 4, 6, 7])
    #expect(harness.primary.counters.droppedByFunction == 4 && harness.primary.counters.processed == 8)
  }
}
