import DEFTWire
import Testing

@testable import DEFTCore

/// What is full waits; nothing is lost, nothing overflows, and it goes on afterwards.
@Suite struct BoundsTests {
  @Test func fullPrepareLogDelaysTheBatch() {
    var options = HarnessOptions()
    options.replication.window = 8
    options.replication.batch = 40
    options.prepareLog = 1
    options.keys = 12
    let harness = PairHarness(options)
    var closed = 0
    for _ in 0..<8 {
      for packet in 0..<40 { harness.stamp(packet % 12) }
      harness.deliverToPrimary()
      if harness.closeBatch(dry: false) { closed += 1 }
    }
    #expect(closed < 8 && harness.primary.counters.prepareLogFull > 0)
    #expect(harness.primary.openCount == 40 && harness.primary.room == 0)
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted.count == 320)
  }

  /// Found by the seeds: the state clock that was due found no room; by the time there is room, no batch closes any more,
  /// because the output buffer is full of what only a state clock frees, and the input is not dry.
  @Test func fullOutputBufferTakesItsStateClock() {
    var options = HarnessOptions()
    options.replication.batch = 8
    options.replication.pendingPerFlow = 1
    options.replication.retained = 32
    options.replication.stateClockPackets = 1_000
    options.replication.stateClockInterval = 50_000
    let harness = PairHarness(options)
    for _ in 0..<100 { harness.stamp(0) }
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted.count == 100)
  }

  /// Found by the seeds: one burst may make the pendingLists of many flows due.
  @Test func manyPendingListsDueAtOnce() throws {
    var options = HarnessOptions()
    options.replication.batch = 8
    options.replication.window = 8
    options.replication.pending = 64
    options.replication.pendingPerFlow = 8
    options.replication.retained = 64
    options.keys = 4
    let harness = PairHarness(options)
    // Most of the output buffer is taken by a flow whose packets egress has not acknowledged.
    for _ in 0..<5 {
      for _ in 0..<8 { harness.stamp(0) }
      harness.deliverToPrimary()
      harness.closeBatch(dry: false)
    }
    let first = harness.toPrimary
    for key in 1...4 { for _ in 0..<8 { harness.stamp(key) } }
    // The first packet of each flow comes last.
    var packets = harness.toPrimary.take(.max)
    #expect(first.ready == 0 && packets.count == 32)
    packets.sort { ($0.pointee.counter == 1 ? 1 : 0) < ($1.pointee.counter == 1 ? 1 : 0) }
    for packet in packets { harness.toPrimary.sendAgain(packet) }
    while harness.deliverToPrimary() > 0 {}
    #expect(Int(harness.primary.tail - harness.primary.freed) <= 64)
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted.count == 72)
  }

  @Test func secondaryTakesNoMoreThanItHasRoomFor() {
    var options = HarnessOptions()
    options.replication.held = 16
    let harness = PairHarness(options)
    for _ in 0..<40 { harness.stamp(0) }
    #expect(harness.deliverToSecondary() == 16 && harness.secondary.room == 0 && harness.deliverToSecondary() == 0)
    harness.settle()
    #expect(harness.violation == nil && harness.secondary.counters.heldHighWater == 16)
  }

  @Test func moreClosesThanWereAgreedOnEndTheProcess() async {
    // A capacity of 4 is rounded up to 8.
    await #expect(processExitsWith: .success) { BoundsTests.close(generations: 8) }
    await #expect(processExitsWith: .failure) { BoundsTests.close(generations: 9) }
  }
  private static func close(generations: Int) {
    var options = HarnessOptions()
    options.slots = 4
    let harness = PairHarness(options)
    var flow = harness.layout.first(unit: 0, slot: 0)
    for _ in 0..<generations {
      precondition(harness.offerToPrimary(flow, 1, isMarker: true))
      flow = harness.layout.following(flow)
    }
  }

  @Test func outputBufferMustHoldTwoBatches() async {
    await #expect(processExitsWith: .failure) {
      var options = HarnessOptions()
      options.replication.retained = 32
      options.replication.batch = 16
      _ = PairHarness(options)
    }
  }
}
