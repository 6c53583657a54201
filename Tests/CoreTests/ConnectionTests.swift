import DEFTWire
import Testing

@testable import DEFTCore

/// What comes twice, out of sequence, from another epoch, or not at all (R6, R13).
@Suite struct ConnectionTests {
  private func harness(window: Int = 4) -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 2
    options.replication.window = window
    options.replication.stateClockPackets = 1
    return PairHarness(options)
  }
  private func processBatches(_ harness: PairHarness, _ count: Int) {
    for _ in 0..<count {
      for _ in 0..<2 { harness.stamp(0) }
      harness.deliverToPrimary()
      harness.closeBatch(dry: false)
    }
  }

  @Test func repeatedMessagesChangeNothing() {
    let harness = harness()
    processBatches(harness, 2)
    harness.settle()
    let digest = harness.secondary.digest().digest
    for message in harness.prepares.messages + harness.commits.messages {
      message.bytes.withUnsafeBytes { harness.secondary.receive($0) }
      #expect(!harness.secondaryVotes())
    }
    #expect(harness.secondary.counters.repeatedMessages == 4 && harness.secondary.counters.impossibleMessages == 0)
    #expect(harness.secondary.votedBatch == 2 && harness.secondary.appliedBatch == 2)
    #expect(harness.secondary.digest().digest == digest)
  }

  @Test func gapsAreRefused() {
    let harness = harness()
    processBatches(harness, 3)
    harness.deliverToSecondary()
    let prepares = harness.prepares.messages.map(\.bytes)
    for bytes in [prepares[1], prepares[2]] { bytes.withUnsafeBytes { harness.secondary.receive($0) } }
    #expect(harness.secondary.counters.impossibleMessages == 2 && !harness.secondaryVotes())
    prepares[0].withUnsafeBytes { harness.secondary.receive($0) }
    prepares[2].withUnsafeBytes { harness.secondary.receive($0) }
    #expect(harness.secondary.counters.impossibleMessages == 3)
    #expect(harness.secondaryVotes() && harness.secondary.votedBatch == 1)
    // A state clock beyond what was voted for.
    harness.commits.messages[1].bytes.withUnsafeBytes { harness.secondary.receive($0) }
    #expect(harness.secondary.counters.impossibleMessages == 4 && harness.secondary.appliedBatch == 0)
    #expect(harness.freeAtSecondary() == 0)
  }

  @Test func messagesThatNoPrimarySends() {
    let harness = harness(window: 2)
    let flow = harness.layout.first(unit: 0, slot: 1)
    func refused() -> UInt64 { harness.secondary.counters.impossibleMessages }
    harness.sendStray(.prepare, batch: 1, clock: [ClockEntry(flowID: 0, next: 2)])
    harness.sendStray(.prepare, batch: 1, lost: [PacketRange(flowID: flow, from: 1, count: 0)])
    harness.sendStray(.vote, batch: 1)
    harness.sendStray(.hello, batch: 1)
    #expect(refused() == 4)
    // More than the window, or more entries than it can ever name.
    for batch in UInt64(1)...3 { harness.sendStray(.prepare, batch: batch, clock: [ClockEntry(flowID: flow, next: 2)]) }
    #expect(refused() == 5 && !harness.secondaryVotes())
    let many = [ClockEntry](repeating: ClockEntry(flowID: flow, next: 3), count: 5_000)
    #expect(harness.offerToSecondary(flow, 1) && harness.secondaryVotes())
    harness.sendStray(.prepare, batch: 3, clock: many)
    #expect(refused() == 6 && harness.secondary.votedBatch == 2)
    // A state of another size; a state of a flow that is not here.
    let entry = StateEntry(flowID: flow, next: 2, lastPassed: 1, isClosed: false, time: 1)
    harness.sendStray(.commit, batch: 1, states: [entry], stateBytes: 24)
    #expect(refused() == 7 && harness.secondary.appliedBatch == 0)
    let stranger = StateEntry(flowID: flow + 1, next: 2, lastPassed: 1, isClosed: false, time: 1)
    harness.sendStray(.commit, batch: 1, states: [entry, stranger])
    #expect(refused() == 8 && harness.secondary.appliedBatch == 1)
  }

  @Test func otherEpochsAndPairsAreRefused() {
    let harness = harness()
    processBatches(harness, 1)
    harness.deliverToSecondary()
    for epoch: UInt32 in [2, 4] {
      harness.sendStray(.prepare, batch: 1, epoch: epoch)
      #expect(!harness.sendStrayToPrimary(voted: 1, epoch: epoch))
      #expect(!harness.sendStrayToPrimary(.resume, voted: 1, epoch: epoch))
    }
    harness.sendStray(.prepare, batch: 1, pair: 8)
    #expect(harness.secondary.counters.staleEpochMessages == 3 && !harness.secondaryVotes())
    #expect(harness.primary.counters.staleEpochMessages == 4 && harness.prepares.rewinds == 0)
    #expect(harness.primary.batchesInFlight == 1 && harness.release() == 0)
  }

  @Test func votesThatNoSecondarySends() {
    let harness = harness()
    processBatches(harness, 2)
    #expect(!harness.sendStrayToPrimary(voted: 3) && !harness.sendStrayToPrimary(voted: 1, applied: 2))
    #expect(!harness.sendStrayToPrimary(.prepare, voted: 1))
    #expect(harness.primary.counters.impossibleMessages == 3 && harness.primary.batchesInFlight == 2)
    #expect(!harness.sendStrayToPrimary(voted: 2) && !harness.sendStrayToPrimary(voted: 1))
    #expect(harness.primary.batchesInFlight == 0, "an old vote takes nothing back")
    // It claims to have applied what was never sent.
    #expect(!harness.sendStrayToPrimary(voted: 2, applied: 2) && harness.primary.clocksApplied == 0)
  }

  /// After a cut everything behind what the secondary has voted for and applied is sent again, and nothing else.
  @Test func resumeSendsTheSuffixAgain() {
    let harness = harness()
    processBatches(harness, 1)
    harness.pass()
    harness.pass()
    harness.pass()
    #expect(harness.secondary.appliedBatch == 1)
    processBatches(harness, 3)
    harness.deliverToSecondary()
    // Batch 2 arrives, 3 and 4 are lost with the connection, and so is the vote for 2.
    for _ in 0..<3 { harness.sendToSecondary(commit: false) }
    harness.deliverMessageToSecondary()
    #expect(harness.vote() == 1)
    harness.tell()
    harness.isConnected = false
    harness.messagesToSecondary = []
    harness.messagesToPrimary = []
    (harness.prepares.isOpen, harness.commits.isOpen) = (false, false)
    #expect(harness.primary.batchesInFlight == 3 && harness.release() == 0)

    harness.reconnect()
    harness.deliverMessageToPrimary()
    #expect(harness.primary.batchesInFlight == 2 && harness.release() == 2)
    var again: [UInt64] = []
    while let bytes = harness.prepares.read() { again.append(harness.clock(bytes).header.batch) }
    #expect(again == [3, 4])
    // A second resume on the same connection is harmless.
    harness.messagesToPrimary.append(harness.answer(.resume, voted: 2, applied: 1))
    harness.deliverMessageToPrimary()
    harness.settle()
    #expect(harness.violation == nil && harness.secondary.counters.impossibleMessages == 0)
  }
}
