import DEFTWire

@testable import DEFTCore

// The egress fails (R12).
extension PairHarness {
  /// It is gone with all that it had; an empty one takes its place.
  func replaceEgress() {
    for (packet, _) in toEgress { giveBack(packet, 1, "the way to egress") }
    for packet in heldPlaces.keys { giveBack(packet, 1, "egress") }
    toEgress = []
    heldPlaces = [:]
    egress = EgressChain(layout: layout, holdCapacity: options.egressHold, memory: arena.allocate)
  }

  /// Everything that the primary says to the new one, `capacity` entries at a time.
  func tellEgress(capacity: Int = 3) -> (entries: [EgressEntry], isComplete: Bool) {
    var told: [EgressEntry] = []
    var entries = [EgressEntry](repeating: EgressEntry(flowID: 0, last: 0, isClosed: false), count: capacity)
    for _ in 0..<1_000 where primary.tellsEgress {
      let step = primary.tellEgress(into: &entries, capacity: capacity, now: now)
      told += entries[..<step.count]
      if step.isComplete { return (told, true) }
    }
    return (told, false)
  }

  func retransmit(_ capacity: Int = 64) -> (first: UInt64, counters: [UInt32]) {
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: capacity)
    let (count, first) = primary.retransmit(into: &packets, capacity: capacity, now: now)
    for packet in packets[..<count] {
      bank.addReference(packet)
      toEgress.append((packet, nil))
    }
    return (first, packets[..<count].map(\.pointee.counter))
  }

  var tellsEgress: Bool { primary.tellsEgress }
  var ambiguousCount: UInt64 { primary.ambiguousCount }
  var acknowledgedByEgress: UInt64 { primary.acknowledgedCount }
  var tellingAttempt: UInt32 { primary.tellingAttempt }
  var releaseSequence: UInt64 { primary.releaseSequence }
  func primaryIsAcknowledged(_ count: UInt64, byTerm term: UInt32) -> Bool {
    primary.acknowledged(count, byTerm: term)
  }
  func decideAll() -> [(counter: UInt32, decision: EgressDecision)] {
    let decisions = toEgress.map { ($0.packet.pointee.counter, egress.decide($0.packet)) }
    for (packet, _) in toEgress { giveBack(packet, 1, "egress") }
    toEgress = []
    return decisions
  }
}
