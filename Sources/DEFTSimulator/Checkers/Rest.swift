import DEFTCore

// What must be so once nothing fails any more and nothing is under way.
extension Simulation {
  func checkRest() {
    checkAllTransmitted()
    checkDigests()
    checkPacketMemory(atEnd: true)
    gatherTransitions()
  }

  private func checkDigests() {
    for pair in 0..<options.pairs {
      var expected = (digest: UInt64(0), flows: 0)
      for generations in allFlows {
        guard let flow = generations.last, flow.pair == pair else { continue }
        expected = (expected.digest &+ flow.digest(options.function), expected.flows + 1)
      }
      let first = primaries[pair].replica.digest()
      require(first == expected, .digests) { "\(primaries[pair].name) has \(first), a sequential run \(expected)" }
      let second = secondaries[pair].replica.digest()
      require(second == expected, .digests) { "\(secondaries[pair].name) has \(second), a sequential run \(expected)" }
    }
  }

  /// Transitions that the replicas count themselves.
  private func gatherTransitions() {
    for pair in 0..<options.pairs {
      let first = primaries[pair].replica.counters
      let second = secondaries[pair].replica.counters
      occurrences.note(.prepareLogFull, first.prepareLogFull)
      occurrences.note(.commitLogFull, first.commitLogFull)
      occurrences.note(.stateClockTaken, first.stateClocksTaken)
      occurrences.note(.stateClockApplied, second.stateClocksApplied)
      occurrences.note(.reorderedAtPrimary, first.reordered)
      occurrences.note(.reorderedAtSecondary, second.reordered)
      occurrences.note(.duplicateAtPrimary, first.duplicates)
      occurrences.note(.duplicateAtSecondary, second.duplicates)
      occurrences.note(.pendingFullAtPrimary, first.pendingFull)
      occurrences.note(.pendingFullAtSecondary, second.pendingFull)
      occurrences.note(.heldSorted, second.sorted)
      occurrences.note(.droppedByFunction, first.droppedByFunction)
      occurrences.note(.staleGeneration, first.staleGeneration + second.staleGeneration)
      occurrences.note(.repeatedMessage, second.repeatedMessages)
    }
    for fault in [Fault.smallPool, .smallRings, .smallLogs] where options.faults.contains(fault) { occurrences.note(fault) }
  }

  /// Why nothing moves any more.
  func stallReport() -> String {
    var text = "stamped \(stamped), to stamp \(stampers.reduce(0) { $0 + $1.remaining }), out \(transmitted), "
    text += "\(packets.live) packets held, egress holds \(egress.chain.heldCount), credit \(leastCredit)"
    for pair in 0..<options.pairs {
      let primary = primaries[pair]
      text += "; pair \(pair): input \(primary.input.count), room \(primary.replica.room), open "
      text += "\(primary.replica.openCount), in flight \(primary.replica.batchesInFlight), pending "
      text +=
        "\(primary.replica.pendingCount), acknowledged \(primary.acknowledged), quiescent \(primary.replica.isQuiescent); "
      text += "secondary: input \(secondaries[pair].input.count), held \(secondaries[pair].replica.heldCount), pending "
      text += "\(secondaries[pair].replica.pendingCount), voted \(secondaries[pair].replica.votedBatch); link "
      text += links[pair].isIdle ? "idle" : "busy"
    }
    let slots = stampers.reduce(0) { $0 + $1.occupied }
    return text + "; slots \(slots)"
  }
}
