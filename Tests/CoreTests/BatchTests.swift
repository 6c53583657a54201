import DEFTWire
import Testing

@testable import DEFTCore

/// When a batch closes, how many may be in flight, and what a vote releases.
@Suite struct BatchTests {
  private func harness(_ change: (inout ReplicationConfiguration) -> Void) -> PairHarness {
    var options = HarnessOptions()
    change(&options.replication)
    return PairHarness(options)
  }

  /// Sends what there is to send, and brings the secondary everything.
  private func answer(_ harness: PairHarness, upTo batches: Int = .max) {
    harness.deliverToSecondary()
    var sent = 0
    while sent < batches, harness.sendToSecondary(commit: false) { sent += 1 }
    while harness.deliverMessageToSecondary() {}
    harness.vote()
    harness.tell()
    while harness.deliverMessageToPrimary() {}
  }

  @Test func windowBoundsWhatIsInFlight() {
    let harness = harness {
      $0.batch = 4
      $0.window = 3
    }
    for _ in 0..<40 { harness.stamp(0) }
    for batch in 1...3 {
      #expect(harness.deliverToPrimary() == 4)
      #expect(harness.closeBatch(dry: false) && harness.primary.batchesInFlight == batch)
    }
    #expect(harness.primary.room == 0 && harness.deliverToPrimary() == 0)
    harness.now += 1_000_000
    #expect(!harness.closeBatch(dry: true))
    answer(harness, upTo: 1)
    #expect(harness.primary.batchesInFlight == 2 && harness.release() == 4)
    #expect(harness.deliverToPrimary() == 4 && harness.closeBatch(dry: false))
    // A vote is for everything before it, too.
    answer(harness)
    #expect(harness.primary.batchesInFlight == 0 && harness.release() == 12)
    #expect(harness.secondary.counters.votes == 4 && harness.primary.counters.batchesVoted == 4)
    harness.settle()
    #expect(harness.violation == nil)
  }

  @Test func openBatchIsFullBeforeTheWindowIs() {
    let harness = harness { $0.batch = 4 }
    for _ in 0..<10 { harness.stamp(0) }
    #expect(harness.deliverToPrimary(3) == 3 && harness.primary.room == 1)
    #expect(!harness.closeBatch(dry: false), "neither full nor dry nor old")
    #expect(harness.deliverToPrimary() == 1 && harness.primary.room == 0)
    #expect(harness.closeBatch(dry: false) && harness.primary.room == 4)
  }

  @Test func flushIntervalClosesAnOldBatch() {
    let harness = harness { $0.flushInterval = 1_000 }
    harness.stamp(0)
    harness.now = 5_000
    harness.deliverToPrimary()
    harness.now = 5_600
    harness.stamp(0)
    harness.deliverToPrimary()
    harness.now = 5_999
    #expect(!harness.closeBatch(dry: false))
    harness.now = 6_000
    #expect(harness.closeBatch(dry: false), "the first packet has waited long enough")
    harness.now = 9_000
    #expect(!harness.closeBatch(dry: true), "there is nothing in it")
  }

  @Test func dryInputClosesWhileLittleIsInFlight() {
    let harness = harness {
      $0.window = 4
      $0.dryWindow = 2
    }
    for batch in 1...2 {
      harness.stamp(batch)
      harness.deliverToPrimary()
      #expect(harness.closeBatch(dry: true))
    }
    harness.stamp(3)
    harness.deliverToPrimary()
    #expect(!harness.closeBatch(dry: true))
    harness.now += 1_000
    #expect(harness.closeBatch(dry: true), "the flush interval counts all the same")
    #expect(promptVotes(harness) == [true, true, true], "batches that are not full are waited for")
  }

  @Test func votesAreGatheredUnderLoad() {
    let harness = harness {
      $0.batch = 2
      $0.window = 5
      $0.dryWindow = 2
    }
    for _ in 0..<9 { harness.stamp(0) }
    for _ in 0..<5 {
      harness.deliverToPrimary()
      harness.now += 1_000
      harness.closeBatch(dry: false)
    }
    #expect(promptVotes(harness) == [false, false, false, false, true], "full batches are not waited for")
  }
  private func promptVotes(_ harness: PairHarness) -> [Bool] {
    harness.prepares.messages.map { harness.clock($0.bytes).header.flags & ControlMessageHeader.promptVote != 0 }
  }

  @Test func packetsThatWaitForTheirTurnOpenNoBatch() {
    let harness = harness { _ in }
    let flow = harness.layout.first(unit: 0, slot: 0)
    #expect(harness.offerToPrimary(flow, 2))
    harness.now += 1_000_000
    #expect(harness.primary.openCount == 0 && !harness.closeBatch(dry: true))
  }

  /// R20: releases come in the order in which the packets were processed, across flows too.
  @Test func releaseOrderIsBatchOrder() {
    let harness = harness { $0.batch = 5 }
    var stamped: [UInt32] = []
    for packet in 0..<10 { stamped.append(harness.stamp(packet % 3)!.flowID) }
    for _ in 0..<2 {
      harness.deliverToPrimary()
      harness.closeBatch(dry: false)
    }
    answer(harness)
    while harness.release(3) > 0 {}
    #expect(harness.releases.map(\.flowID) == stamped)
  }

  @Test func withoutASecondaryEverythingGoesAtOnce() {
    for seed in UInt64(1)...30 {
      var random = SeededGenerator(seed: seed)
      var options = HarnessOptions.random(&random)
      options.replication.isReplicated = false
      let harness = PairHarness(options, seed: seed)
      harness.run(steps: 1_000)
      harness.settle(closingFlows: true)
      #expect(harness.violation == nil, "seed \(seed): \(harness.violation!)")
      #expect(harness.prepares.messages.isEmpty && harness.commits.messages.isEmpty)
    }
  }
}
