import DEFTCore
import DEFTWire

// A new egress (R12).
extension PrimaryActor {
  func learn(egressTerm term: UInt32) {
    guard term > replica.egressTerm else { return }
    simulation.trace("\(name): learns of egress \(term)")
    replica.egressChanged(term: term)
    simulation.wake(index)
  }

  func tell() -> Int {
    guard replica.tellsEgress else { return 0 }
    if tellingAttempt != replica.tellingAttempt { (tellingAttempt, tellingNumber) = (replica.tellingAttempt, 0) }
    var entries = [EgressEntry](repeating: EgressEntry(flowID: 0, last: 0, isClosed: false), count: 8)
    let step = replica.tellEgress(into: &entries, capacity: entries.count, now: simulation.now)
    guard step.count > 0 || step.isComplete else { return 0 }
    simulation.send(
      Telling(
        pair: pair, actor: index, term: replica.egressTerm, stream: stream, attempt: tellingAttempt,
        number: tellingNumber, entries: Array(entries[..<step.count]), isComplete: step.isComplete,
        acknowledged: replica.tellingAcknowledged,
        ambiguous: replica.ambiguousCount))
    tellingNumber += 1
    return 1
  }

  func learnTold(_ word: UInt64) {
    guard !isGone else { return }
    let byThis = word >> 32 == 1
    if replica.tellsEgress, UInt32(truncatingIfNeeded: word) == replica.egressTerm {
      simulation.occurrences.note(byThis ? .egressTold : .egressToldBySuccessor)
    }
    replica.egressTold(term: UInt32(truncatingIfNeeded: word), byThis: byThis)
  }
}
