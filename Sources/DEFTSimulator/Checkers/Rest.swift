import DEFTCore

// What must be so once nothing fails any more and nothing is under way.
extension Simulation {
  func checkRest() {
    forgetUnknowable()
    checkAllTransmitted()
    checkDigests()
    checkPacketMemory(atEnd: true)
    gatherTransitions()
  }

  private func checkDigests() {
    for pair in 0..<options.pairs {
      var expected = (digest: UInt64(0), flows: 0)
      for (index, generations) in allFlows.enumerated() {
        // A generation of which nothing has arrived anywhere never was; one of which nothing has arrived where its group went, as
        // far as its owner had begun it.
        let flow = generations.last { $0.next > 1 || isBegun($0) }
        let isLater = { (floor: UInt32) in flow.map { self.layout.isLater(floor, than: $0.flowID) } ?? true }
        if let floor = floors[index], self.pair(floor) == pair, isLater(floor) {
          expected = (expected.digest &+ floorDigest(floor), expected.flows + 1)
          continue
        }
        guard let flow, flow.pair == pair else { continue }
        expected = (expected.digest &+ flow.digest(options.function), expected.flows + 1)
      }
      if let actor = primary(pair) {
        let digest = actor.replica.digest()
        require(digest == expected, .digests) {
          "\(actor.name) has \(digest), a sequential run \(expected): \(differences(actor))"
        }
      }
      if let actor = secondary(pair) {
        let digest = actor.replica.digest()
        require(digest == expected, .digests) { "\(actor.name) has \(digest), a sequential run \(expected)" }
      }
    }
  }

  private func isBegun(_ flow: FlowHistory) -> Bool {
    var isBegun = false
    if map.group(group(flow.flowID)).version > 1 {
      primary(flow.pair)?.replica.forEachFlow { isBegun = isBegun || $0.flowID == flow.flowID }
    }
    return isBegun
  }

  private func differences(_ actor: PrimaryActor) -> String {
    var found: [UInt32: UInt64] = [:]
    var text = ""
    actor.replica.forEachFlow { found[$0.flowID] = $0.digest(next: $0.next) }
    for generations in allFlows {
      guard let flow = generations.last(where: { $0.next > 1 }), flow.pair == actor.pair else { continue }
      let digest = found.removeValue(forKey: flow.flowID)
      if digest == nil { text += "flow \(flow.flowID) is not there; " }
      if let digest, digest != flow.digest(options.function) { text += "flow \(flow.flowID) differs; " }
    }
    return text + "too many: \(found.keys.sorted())"
  }

  /// Transitions that the replicas count themselves.
  private func gatherTransitions() {
    for actor in actors {
      if let actor = actor as? PrimaryActor { gather(actor.replica.counters) }
      if let actor = actor as? SecondaryActor, !actor.isMoved { gather(actor.replica.counters) }
    }
    for fault in [Fault.smallPool, .smallRings, .smallLogs] where options.faults.contains(fault) { occurrences.note(fault) }
  }

  private func gather(_ counters: PrimaryCounters) {
    gather(counters.migration)
    occurrences.note(.declaredLost, counters.repair.lost)
    occurrences.note(.uncovered, counters.repair.uncovered)
    occurrences.note(.outsideWindow, counters.outsideWindow)
    occurrences.note(.releasedWhileSyncing, counters.releasedWhileSyncing)
    occurrences.note(.prepareLogFull, counters.prepareLogFull)
    occurrences.note(.commitLogFull, counters.commitLogFull)
    occurrences.note(.stateClockTaken, counters.stateClocksTaken)
    occurrences.note(.reorderedAtPrimary, counters.reordered)
    occurrences.note(.duplicateAtPrimary, counters.duplicates)
    occurrences.note(.pendingFullAtPrimary, counters.pendingFull)
    occurrences.note(.droppedByFunction, counters.droppedByFunction)
    occurrences.note(.staleGeneration, counters.staleGeneration)
    occurrences.note(.lostGeneration, counters.lostGeneration)
    occurrences.note(.staleEpoch, counters.staleEpochMessages)
    occurrences.note(.replayedVoted, counters.replayedVoted)
    occurrences.note(.replayedUnvoted, counters.replayed - counters.replayedVoted)
  }

  private func gather(_ counters: MigrationCounters) {
    occurrences.note(.kept, counters.kept)
    occurrences.note(.thawed, counters.thawed)
    occurrences.note(.staged, counters.entriesStaged)
    occurrences.note(.restaged, counters.entriesRestaged)
    occurrences.note(.staleMove, counters.stale)
    occurrences.note(.lossDelayed, counters.lossesDelayed)
  }

  private func gather(_ counters: SecondaryCounters) {
    gather(counters.migration)
    occurrences.note(.boundLost, counters.repair.lost)
    occurrences.note(.outsideWindow, counters.outsideWindow)
    occurrences.note(.denied, counters.repair.missing)
    occurrences.note(.stateClockApplied, counters.stateClocksApplied)
    occurrences.note(.reorderedAtSecondary, counters.reordered)
    occurrences.note(.duplicateAtSecondary, counters.duplicates)
    occurrences.note(.pendingFullAtSecondary, counters.pendingFull)
    occurrences.note(.heldSorted, counters.sorted)
    occurrences.note(.staleGeneration, counters.staleGeneration)
    occurrences.note(.repeatedMessage, counters.repeatedMessages)
    occurrences.note(.staleEpoch, counters.staleEpochMessages)
  }
}
