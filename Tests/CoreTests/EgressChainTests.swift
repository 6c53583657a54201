import DEFTWire
import Testing

@testable import DEFTCore

/// The rows of `EgressChain`'s table, and what holding does.
@Suite struct EgressChainTests {
  private final class Way {
    let bank = PacketBank()
    let arena = TableArena()
    let layout = FlowIDLayout(units: 1, slotsPerUnit: 8)
    var chain: EgressChain<PlainStorage>
    var out: [UInt32] = []

    init(hold: Int = 8) { chain = EgressChain(layout: layout, holdCapacity: hold, memory: arena.allocate) }

    func packet(_ flowID: UInt32, _ previous: UInt32, _ counter: UInt32, marker: Bool = false) -> Packet {
      var flags = FrameLayout.opaque
      flags.isCloseMarker = marker
      let metadata = PacketMetadata(
        time: 0, flowID: flowID, counter: counter, previousPassed: previous, layout: flags)
      return bank.make(metadata, content: (0, 0), references: 1)
    }
    @discardableResult
    func decide(_ flowID: UInt32, _ previous: UInt32, _ counter: UInt32, marker: Bool = false) -> EgressDecision {
      let packet = packet(flowID, previous, counter, marker: marker)
      let decision = chain.decide(packet)
      guard decision == .transmit || decision == .forget else { return decision }
      out.append(counter)
      while let held = chain.nextHeld(after: packet) { out.append(held.pointee.counter) }
      return decision
    }
    var flow: UInt32 { layout.first(unit: 0, slot: 2) }
  }

  @Test func nextIsTransmittedAndWhatWasOutIsSuppressed() {
    let way = Way()
    #expect(way.decide(way.flow, 0, 1) == .transmit)
    #expect(way.decide(way.flow, 1, 2) == .transmit)
    for (previous, counter): (UInt32, UInt32) in [(1, 2), (0, 1), (0, 2), (7, 1)] {
      #expect(way.decide(way.flow, previous, counter) == .suppress)
    }
    #expect(way.chain.transmitted == 2 && way.chain.suppressed == 4)
  }

  /// What is decided on by the burst is what `decide` would transmit without anything following, and nothing else.
  @Test func plainPacketsEndWhereOneIsNot() {
    func plain(_ way: Way, _ packets: [(UInt32, UInt32, UInt32)], marker: Bool = false) -> Int {
      let burst = packets.map { way.packet($0.0, $0.1, $0.2, marker: marker) }
      return burst.withUnsafeBufferPointer { way.chain.decidePlain($0.baseAddress!, count: $0.count) }
    }
    let way = Way()
    let (flow, other) = (way.flow, way.layout.first(unit: 0, slot: 3))
    #expect(plain(way, [(flow, 0, 1)]) == 0, "a flow begins")
    way.decide(flow, 0, 1)
    way.decide(other, 0, 1)
    #expect(plain(way, [(flow, 1, 2), (other, 1, 5), (flow, 2, 3), (flow, 2, 3), (flow, 3, 4)]) == 3, "one was out")
    #expect(way.chain.transmitted == 5)
    #expect(plain(way, [(flow, 4, 5)]) == 0, "one is missing")
    #expect(plain(way, [(flow, 3, 4)], marker: true) == 0, "the flow ends")
    #expect(plain(way, [(way.layout.following(flow), 3, 4)]) == 0, "another generation")
    way.decide(flow, 4, 5)
    #expect(plain(way, [(flow, 3, 4)]) == 0, "another follows it")
    #expect(way.decide(flow, 3, 4) == .transmit && way.out.suffix(2) == [4, 5])
    #expect(plain(way, [(flow, 5, 6)]) == 1)
  }

  /// "counter ≥ next" could not tell these two apart.
  @Test func droppedByTheFunctionIsNotLate() {
    let way = Way()
    #expect(way.decide(way.flow, 0, 4) == .transmit, "1 to 3 were dropped")
    #expect(way.decide(way.flow, 6, 9) == .hold, "6 is on its way")
    #expect(way.decide(way.flow, 4, 6) == .transmit)
    #expect(way.out == [4, 6, 9])
  }

  @Test func holdsAndLetsGoInOrder() {
    let way = Way()
    for (previous, counter): (UInt32, UInt32) in [(4, 5), (1, 3), (3, 4), (5, 8)] {
      #expect(way.decide(way.flow, previous, counter) == .hold)
    }
    #expect(way.decide(way.flow, 3, 4) == .suppress, "held already")
    #expect(way.chain.heldCount == 4)
    #expect(way.decide(way.flow, 0, 1) == .transmit)
    #expect(way.out == [1, 3, 4, 5, 8] && way.chain.heldCount == 0)
    #expect(way.chain.transmitted == 5 && way.chain.everHeld == 4 && way.chain.suppressed == 1)
  }

  @Test func heldPacketsOfOtherFlowsStay() {
    let way = Way()
    let other = way.layout.first(unit: 0, slot: 3)
    #expect(way.decide(other, 1, 2) == .hold && way.decide(way.flow, 1, 2) == .hold)
    #expect(way.decide(way.flow, 0, 1) == .transmit && way.chain.heldCount == 1)
    #expect(way.decide(other, 0, 1) == .transmit && way.chain.heldCount == 0)
  }

  @Test func refusesWhenFull() {
    let way = Way(hold: 2)
    #expect(way.decide(way.flow, 1, 2) == .hold && way.decide(way.flow, 2, 3) == .hold)
    #expect(way.decide(way.flow, 3, 4) == .refuse && way.chain.refused == 1)
    #expect(way.decide(way.flow, 0, 1) == .transmit && way.out == [1, 2, 3])
    #expect(way.decide(way.flow, 3, 4) == .transmit, "sent again")
  }

  @Test func closeEndsTheGeneration() {
    let way = Way()
    let next = way.layout.following(way.flow)
    #expect(way.decide(way.flow, 0, 1) == .transmit)
    #expect(way.decide(next, 0, 1) == .suppress, "the old generation is not closed")
    #expect(way.decide(way.flow, 1, 2, marker: true) == .forget)
    #expect(way.decide(way.flow, 1, 2, marker: true) == .suppress)
    #expect(way.decide(next, 0, 1) == .transmit && way.decide(next, 1, 3) == .transmit)
    #expect(way.decide(way.flow, 2, 3) == .suppress, "a late packet of the old generation")
    #expect(way.chain.forgotten == 1 && way.chain.transmitted == 3 && way.chain.staleGeneration == 2)
  }

  @Test func closeMayBeHeldLikeAPacket() {
    let way = Way()
    #expect(way.decide(way.flow, 2, 3, marker: true) == .hold && way.decide(way.flow, 1, 2) == .hold)
    #expect(way.decide(way.flow, 0, 1) == .transmit)
    #expect(way.out == [1, 2, 3] && way.chain.forgotten == 1 && way.chain.transmitted == 2)
    #expect(way.decide(way.layout.following(way.flow), 0, 1) == .transmit)
  }

  @Test func counterWraps() {
    let way = Way()
    // Two hops of almost 2³¹ to get near the wrap.
    let steps: [(UInt32, UInt32)] = [
      (0, 0x7fff_ffff), (0x7fff_ffff, 0xffff_fffd), (0xffff_fffd, 0xffff_ffff), (0xffff_ffff, 0), (0, 2), (2, 3),
    ]
    for (previous, counter) in steps { #expect(way.decide(way.flow, previous, counter) == .transmit) }
    #expect(way.decide(way.flow, 0xffff_ffff, 0) == .suppress && way.decide(way.flow, 4, 5) == .hold)
  }

  /// Any order on the way, any doubles: each once, in order.
  @Test func shuffledReleases() {
    for seed in UInt64(1)...200 {
      var random = SeededGenerator(seed: seed)
      let way = Way(hold: 64)
      var sent: [(UInt32, UInt32)] = []
      var previous: UInt32 = 0
      for counter in UInt32(1)...40 where random.below(4) != 0 {
        sent.append((previous, counter))
        previous = counter
      }
      let expected = sent.map(\.1)
      sent += sent.filter { _ in random.below(5) == 0 }
      sent.shuffle(using: &random)
      for (previous, counter) in sent { way.decide(way.flow, previous, counter) }
      #expect(way.out == expected && way.chain.heldCount == 0, "seed \(seed)")
    }
  }
}
