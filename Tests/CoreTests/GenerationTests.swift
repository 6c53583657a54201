import DEFTWire
import Testing

@testable import DEFTCore

/// A slot that is used again is another flow (R16).
@Suite struct GenerationTests {
  private func harness() -> PairHarness {
    var options = HarnessOptions()
    options.slots = 1
    options.idleTimeout = 1_000
    return PairHarness(options)
  }

  @Test func nextGenerationBeginsAnew() throws {
    let harness = harness()
    let first = try #require(harness.stamp(0))
    harness.stamp(0)
    #expect(harness.stamp(1) == nil, "the only slot is taken")
    harness.settle()
    harness.now += 1_000_000
    #expect(harness.sweep() == 1 && harness.stamp(0) == nil, "closing: not free yet")
    harness.settle()
    #expect(harness.violation == nil && harness.closesCommitted == 1)

    let second = try #require(harness.stamp(1))
    #expect(second.counter == 1 && harness.layout.index(second.flowID) == harness.layout.index(first.flowID))
    #expect(harness.layout.isLater(second.flowID, than: first.flowID))
    // Late doubles of the old generation, before and after the new one's first packet.
    for round in 0..<2 {
      for counter: UInt32 in [1, 2, 3, 4] where round == 1 || counter < 4 {
        #expect(!harness.offerToPrimary(first.flowID, counter) && !harness.offerToSecondary(first.flowID, counter))
        let late = harness.strayPacket(first.flowID, counter, previous: counter - 1)
        #expect(harness.egressDecides(late) == .suppress)
      }
      harness.deliverToPrimary()
      harness.deliverToSecondary()
      if round == 0 {
        harness.closeBatch(dry: true)
        harness.pass()
        harness.pass()
        #expect(harness.egress.transmitted == 3)
      }
    }
    #expect(harness.primary.counters.staleGeneration == 4 && harness.secondary.counters.staleGeneration == 4)
    #expect(harness.primary.counters.duplicates == 3 && harness.egress.staleGeneration == 4)
  }

  @Test func noGenerationBeginsBeforeTheLastOneEnded() throws {
    let harness = harness()
    let first = try #require(harness.stamp(0))
    let second = harness.layout.following(first.flowID)
    harness.deliverToPrimary()
    harness.deliverToSecondary()
    #expect(!harness.offerToPrimary(second, 1) && !harness.offerToSecondary(second, 1))
    #expect(harness.egressDecides(harness.strayPacket(first.flowID, 1)) == .transmit)
    #expect(harness.egressDecides(harness.strayPacket(second, 1)) == .suppress)
    // The marker has been processed, but the secondary has not been told.
    #expect(harness.offerToPrimary(first.flowID, 2, isMarker: true) && harness.offerToSecondary(first.flowID, 2))
    #expect(!harness.offerToSecondary(second, 1) && harness.nextCommittedClose() == nil)
  }

  @Test func markersGoThroughTheChainLikePackets() throws {
    let harness = harness()
    harness.stamp(0)
    harness.settle()
    harness.now += 1_000_000
    harness.sweep()
    harness.settle()
    #expect(harness.violation == nil)
    #expect(harness.egress.forgotten == 1 && harness.egress.transmitted == 1 && harness.transmitted.count == 1)
    #expect(harness.primary.counters.closeMarkers == 1 && harness.primary.counters.processed == 1, "the NF never sees it")
    #expect(harness.unit.closed == 1 && harness.unit.table.slots.occupied == 0)
  }
}
