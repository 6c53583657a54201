import DEFTWire
import Testing

@testable import DEFTCore

/// `--batch 50 --window 1`, a state clock per batch: the algorithm of the paper (IV-B to IV-D).
@Suite struct PaperModeTests {
  private func paper() -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 50
    options.replication.window = 1
    options.replication.stateClockPackets = 1
    let harness = PairHarness(options)
    for packet in 0..<120 { harness.stamp(packet % 3) }
    return harness
  }

  @Test func haltsWhileABatchIsInFlight() {
    let harness = paper()
    #expect(harness.deliverToPrimary() == 50, "an output buffer's worth")
    #expect(harness.deliverToPrimary() == 0)
    #expect(harness.closeBatch(dry: false))
    #expect(harness.primary.room == 0 && harness.primary.batchesInFlight == 1)
    #expect(harness.deliverToPrimary() == 0 && harness.release() == 0)
    #expect(!harness.closeBatch(dry: true))

    // The packet clock names each flow once, with what comes next.
    let (header, entries) = harness.clock(harness.prepares.messages[0].bytes)
    #expect(header.batch == 1 && header.epoch == 3 && header.pair == 7)
    #expect(Set(entries.map(\.next)) == [17, 18] && entries.count == 3)

    // No vote before every packet is here.
    harness.sendToSecondary(commit: false)
    harness.deliverMessageToSecondary()
    #expect(harness.vote() == 0)
    harness.deliverToSecondary(49)
    #expect(harness.vote() == 0 && harness.secondary.counters.votesDelayed == 1)
    harness.deliverToSecondary(1)
    #expect(harness.vote() == 1)
    harness.tell()
    #expect(harness.release() == 0, "the vote is still on its way")
    harness.deliverMessageToPrimary()
    #expect(harness.release() == 50)
    #expect(harness.deliverToPrimary() == 50, "the next batch while the state clock is on its way")
    #expect(harness.violation == nil)
  }

  @Test func stateClockWithEveryBatch() {
    let harness = paper()
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted.count == 120)
    let batches = harness.prepares.messages.map { harness.clock($0.bytes).header.batch }
    #expect(batches == [1, 2, 3])
    #expect(harness.commits.messages.map { harness.states($0.bytes).header.batch } == batches)
  }
}
