import DEFTWire
import Testing

@testable import DEFTCore

/// Order within a flow (paper, IV-B), its limits (R18) and its time (R19).
@Suite struct OrderingTests {
  private func harness(_ change: (inout ReplicationConfiguration) -> Void = { _ in }) -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 32
    change(&options.replication)
    return PairHarness(options)
  }
  private let flow = FlowIDLayout(units: 1, slotsPerUnit: 16).first(unit: 0, slot: 3)

  @Test func packetsWaitForTheirTurn() {
    let harness = harness()
    for counter: UInt32 in [3, 2, 5] { #expect(harness.offerToPrimary(flow, counter)) }
    #expect(harness.primary.openCount == 0 && harness.primary.pendingCount == 3)
    #expect(harness.offerToPrimary(flow, 1))
    #expect(harness.primary.openCount == 3 && harness.primary.pendingCount == 1)
    for counter: UInt32 in [1, 2, 3, 5] { #expect(!harness.offerToPrimary(flow, counter)) }
    #expect(harness.primary.counters.duplicates == 4 && harness.primary.counters.reordered == 3)
    #expect(harness.offerToPrimary(flow, 4) && harness.primary.openCount == 5 && harness.primary.pendingCount == 0)
  }

  @Test func secondaryHoldsEachPacketOnce() {
    let harness = harness()
    for counter: UInt32 in [3, 2, 5] { #expect(harness.offerToSecondary(flow, counter)) }
    for counter: UInt32 in [3, 2, 5] { #expect(!harness.offerToSecondary(flow, counter)) }
    #expect(harness.secondary.heldCount == 3 && harness.secondary.pendingCount == 3)
    harness.sendStray(.prepare, batch: 1, clock: [ClockEntry(flowID: flow, next: 4)])
    #expect(!harness.secondaryVotes())
    #expect(harness.offerToSecondary(flow, 1) && harness.secondary.pendingCount == 1)
    #expect(harness.secondaryVotes() && !harness.secondaryVotes())
    #expect(!harness.offerToSecondary(flow, 1) && harness.secondary.heldCount == 4)
  }

  @Test func countersOutsideTheWindowAreGarbage() {
    let harness = harness()
    let window: UInt32 = 1 << 30
    #expect(!harness.offerToPrimary(flow, 1 + window) && !harness.offerToSecondary(flow, 1 + window))
    #expect(!harness.offerToPrimary(flow, window + 5) && !harness.offerToPrimary(flow, 0x8000_0000))
    #expect(harness.primary.counters.outsideWindow == 3 && harness.secondary.counters.outsideWindow == 1)
    #expect(harness.offerToPrimary(flow, window) && harness.offerToSecondary(flow, window))
    #expect(!harness.offerToPrimary(flow, 0) && harness.primary.counters.duplicates == 1)
    // 2³¹ ahead counts as behind.
    #expect(!harness.offerToPrimary(flow, 0x8000_0001) && harness.primary.counters.duplicates == 2)
  }

  @Test func timeOfAFlowNeverGoesBack() throws {
    let harness = harness { $0.stateClockPackets = 1 }
    var times: [UInt64] = []
    for (flow, time): (Int, UInt64) in [(0, 1_000), (0, 400), (0, 999), (0, 2_000), (0, 5), (1, 7)] {
      harness.stamp(flow, time: time)
      harness.settle()
      times.append(try #require(harness.states(harness.commits.messages.last!.bytes).entries.first).entry.time)
    }
    #expect(times == [1_000, 1_000, 1_000, 2_000, 2_000, 7], "and flows' times are their own")
    #expect(harness.violation == nil)
  }

  @Test func pendingListsAreBounded() {
    let harness = harness {
      $0.pending = 4
      $0.pendingPerFlow = 3
    }
    for counter: UInt32 in [9, 8, 7] { #expect(harness.offerToPrimary(flow, counter)) }
    #expect(!harness.offerToPrimary(flow, 6) && !harness.offerToPrimary(flow, 10))
    #expect(harness.offerToPrimary(flow + 1, 2) && !harness.offerToPrimary(flow + 2, 2))
    #expect(harness.primary.counters.pendingFull == 3 && harness.primary.pendingHighWater == 4)
    for counter: UInt32 in [9, 8, 7] { #expect(harness.offerToSecondary(flow, counter)) }
    #expect(!harness.offerToSecondary(flow, 6) && harness.secondary.counters.pendingFull == 1)
    #expect(harness.secondary.heldCount == 3)
  }
}
