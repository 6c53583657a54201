import DEFTWire

@testable import DEFTCore

// Egress fails while groups move (R12).
extension MigrationHarness {
  /// It is gone with all that it had; the map names another for every pair.
  func failEgress() {
    for (packet, _, _) in toEgress { giveBack(packet, 1, "the way to egress") }
    toEgress = []
    for flowIndex in 0..<layout.indexCount {
      while let packet = egress.takeAbandoned(flowIndex: flowIndex) { giveBack(packet, 1, "egress") }
    }
    egress = EgressChain(layout: layout, holdCapacity: options.egressHold, memory: arena.allocate)
    let before = map
    let failure = MapTransition.egressFailed(term: map[0].egressTerm, replacement: NodeID(999))
    let outcome = map.propose(failure, pair: 0, ifEpoch: map[0].epoch)
    require(outcome == .accepted(.tellEgress), "the map names another egress: \(outcome)")
    beginnings = (0..<pairs).map { EgressBeginning(term: map[$0].egressTerm) }
    told = [[Int: EgressEntry]](repeating: [:], count: pairs)
    publish(since: before)
  }

  /// The primary's word and egress's answer; and what it had not acknowledged goes again.
  func tell(_ seat: Seat) {
    guard seat.primary != nil, !seat.isDead else { return }
    if seat.primary!.pointee.tellsEgress { sayWhereFlowsBegin(seat) }
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: 8)
    let (count, first) = seat.primary!.pointee.retransmit(into: &packets, capacity: packets.count, now: now)
    for (offset, packet) in packets[..<count].enumerated() {
      let tag = ReleaseTag(
        pair: seat.pair, stream: seat.stream, sequence: UInt32(truncatingIfNeeded: first) &+ UInt32(offset))
      toEgress.append((bank.copy(packet, references: 1), tag, seat.primary!.pointee.egressTerm))
    }
  }

  private func sayWhereFlowsBegin(_ seat: Seat) {
    var entries = [EgressEntry](repeating: EgressEntry(flowID: 0, last: 0, isClosed: false), count: 3)
    var number: UInt32 = 0
    while true {
      let step = seat.primary!.pointee.tellEgress(into: &entries, capacity: entries.count, now: now)
      guard step.count > 0 || step.isComplete else { return }
      if !unheard.contains(seat.pair) { hear(seat, number, Array(entries[..<step.count]), step.isComplete) }
      if step.isComplete { return }
      number += 1
    }
  }

  private func hear(_ seat: Seat, _ number: UInt32, _ entries: [EgressEntry], _ isComplete: Bool) {
    let (pair, primary) = (seat.pair, seat.primary!)
    guard primary.pointee.egressTerm == beginnings[pair].term else { return }
    if beginnings[pair].takes(stream: seat.stream, attempt: primary.pointee.tellingAttempt, number: number) {
      if number == 0 {
        for flowIndex in told[pair].keys { egress.forgetBeginning(flowIndex: flowIndex) }
        told[pair] = [:]
      }
      for entry in entries {
        require(map.group(group(entry.flowID)).pair == pair, "pair \(pair) tells of flow \(entry.flowID)")
        egress.begin(entry)
        told[pair][layout.index(entry.flowID)] = entry
      }
      if isComplete {
        beginnings[pair].finish()
        ledgers[pair].begin(seat.stream, acknowledged: primary.pointee.tellingAcknowledged)
        goOn(pair, primary.pointee.ambiguousCount)
      }
    }
    guard isComplete, beginnings[pair].isTold else { return }
    primary.pointee.egressTold(term: beginnings[pair].term, byThis: beginnings[pair].teller == seat.stream)
  }

  /// From here on a flow's packets leave from where egress was told: again what is ambiguous, and nothing else.
  private func goOn(_ pair: Int, _ ambiguous: UInt64) {
    var again = 0
    for (flowID, run) in runs where map.group(group(flowID)).pair == pair {
      let last = told[pair][layout.index(flowID)]?.last ?? 0
      let out = run.leaving.count { $0.counter <= last }
      require(out <= run.out, "flow \(flowID) has had \(run.out) let out, and egress is told of \(out)")
      again += run.out - out
      runs[flowID]!.out = out
    }
    transmitted -= again
    require(again <= ambiguous, "\(again) leave twice, and \(ambiguous) are ambiguous")
  }
}
