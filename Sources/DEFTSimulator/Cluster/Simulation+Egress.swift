import DEFTCore
import DEFTWire

/// A part of what a primary tells a new egress.
struct Telling {
  var pair: Int
  var actor: Int
  var term: UInt32
  var stream: UInt32
  var attempt: UInt32
  var number: UInt32
  var entries: [EgressEntry]
  var isComplete: Bool
  var acknowledged: UInt64
  var ambiguous: UInt64
}

// Egress fails (R12).
extension Simulation {
  func crashEgress() {
    trace("\(egress.name): crashes")
    egress.die()
    events.add(.egressSuspicion, at: now + 1 + random.below(options.controlLatency * 8), target: 0)
  }

  /// The map names another for every pair.
  func replaceEgress() {
    guard egress.isGone else { return }
    egress = egress.succeeding(actors.count, terms: (0..<options.pairs).map { map[$0].egressTerm + 1 })
    add(egress)
    let before = map
    let failure = MapTransition.egressFailed(term: map[0].egressTerm, replacement: map[0].egress)
    let outcome = map.propose(failure, pair: 0, ifEpoch: map[0].epoch)
    trace("map: \(failure): \(outcome)")
    publish(.egress((0..<options.pairs).map { map[$0] }))
    noteEgressFailure(before)
    publishGroups(changedSince: before)
  }

  private func noteEgressFailure(_ before: ClusterMap) {
    for group in 0..<before.groupCount {
      switch before.group(group).phase {
      case .settled: continue
      case .moving: occurrences.note(.egressFailedInMove)
      case .inheriting: occurrences.note(.egressFailedInForwarding)
      }
    }
  }

  func send(_ telling: Telling) {
    let isLost = hasFaults && options.faults.contains(.releaseLoss) && random.oneIn(options.packetFaults)
    if isLost { return trace("what pair \(telling.pair) tells egress is lost") }
    if telling.attempt > 1, telling.number == 0 { occurrences.note(.toldAgain) }
    tellings.append(telling)
    // One connection: in order, and as many under way as were sent.
    tellingDue = max(tellingDue, now + 1 + random.below(options.controlLatency))
    events.add(.telling, at: tellingDue, target: tellings.count - 1)
  }

  func arrive(_ telling: Telling) {
    guard telling.term >= egress.term(telling.pair), !egress.isGone else { return }
    egress.receive(telling)
    wake(egress.index)
  }

  func answer(_ telling: Telling, isFirst: Bool) {
    let word = UInt64(isFirst ? 1 : 0) << 32 | UInt64(telling.term)
    events.add(.told, at: now + 1 + random.below(options.controlLatency), target: telling.actor, payload: word)
  }
}
