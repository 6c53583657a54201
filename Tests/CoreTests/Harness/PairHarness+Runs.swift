@testable import DEFTCore

// Whole runs.
extension PairHarness {
  /// One of everything that may happen.
  enum Step: Int, CaseIterable {
    case stamp, deliverToPrimary, deliverToSecondary, closeBatch, sendPrepare, sendCommit, deliverToSecondaryNode
    case vote, tell, deliverToPrimaryNode, release, egress, acknowledge, freeAtPrimary, freeAtSecondary
    case time, sweep, flushWays, cut, reconnect
    case repairPrimary, repairSecondary
  }

  /// How often each step happens; every seed has other habits.
  func weights() -> [Step] {
    Step.allCases.flatMap { step -> [Step] in
      let weight =
        switch step {
        case .stamp, .deliverToPrimary, .deliverToSecondary: 4 + random.below(12)
        case .cut: random.below(2)
        case .reconnect: 2
        case .sweep, .flushWays: 1 + random.below(3)
        case .repairPrimary, .repairSecondary: isRepairing ? 4 : 0
        default: 1 + random.below(8)
        }
      return [Step](repeating: step, count: weight)
    }
  }

  func step(_ step: Step) {
    switch step {
    case .stamp:
      guard toPrimary.count < options.inFlight, toSecondary.count < options.inFlight else { return }
      // Stamping units' clocks differ (R19).
      stamp(random.below(options.keys), word: random.next(), time: now &+ UInt64(random.below(200)) &- 100)
    case .deliverToPrimary: deliverToPrimary(1 + random.below(32))
    case .deliverToSecondary: deliverToSecondary(1 + random.below(32))
    case .closeBatch: closeBatch(dry: isDry)
    case .sendPrepare: sendToSecondary(commit: false)
    case .sendCommit: sendToSecondary(commit: true)
    case .deliverToSecondaryNode: deliverMessageToSecondary()
    case .vote: vote()
    case .tell: tell()
    case .deliverToPrimaryNode: deliverMessageToPrimary()
    case .release: release(1 + random.below(16))
    case .egress: runEgress(1 + random.below(16))
    case .acknowledge: acknowledge()
    case .freeAtPrimary: freeAtPrimary(1 + random.below(32))
    case .freeAtSecondary: freeAtSecondary(1 + random.below(32))
    case .time: now += UInt64(random.below(1_000))
    case .sweep: sweep()
    case .flushWays:
      toPrimary.flush(&random)
      toSecondary.flush(&random)
    case .cut: cut()
    case .reconnect: reconnect()
    case .repairPrimary: repairPrimary()
    case .repairSecondary: repairSecondary()
    }
  }

  func run(steps: Int) {
    let habits = weights()
    for _ in 0..<steps where violation == nil { step(habits[random.below(habits.count)]) }
  }

  /// What the primary's stage takes for dry: there is room, and nothing to take.
  var isDry: Bool { primary.room > 0 && toPrimary.ready == 0 }

  /// Everything once, in the order of the stages' polls.
  func pass() {
    deliverToSecondary()
    while deliverMessageToPrimary() {}
    acknowledge()
    release()
    freeAtPrimary()
    let isDry = isDry
    deliverToPrimary()
    closeBatch(dry: isDry)
    while sendToSecondary(commit: false) || sendToSecondary(commit: true) {}
    while deliverMessageToSecondary() {}
    vote()
    tell()
    freeAtSecondary()
    runEgress()
    guard isRepairing else { return }
    repairPrimary()
    repairSecondary()
  }

  var isAtRest: Bool {
    toPrimary.count == 0 && toSecondary.count == 0 && toEgress.isEmpty && bank.live == 0 && primary.isQuiescent
      && secondary.isQuiescent && prepares.isDrained && commits.isDrained && messagesToPrimary.isEmpty
      && messagesToSecondary.isEmpty && repairedForPrimary.isEmpty && repairedForSecondary.isEmpty
  }

  /// Nothing new comes and nothing is lost any more: everything must come to its end, and be what a sequential run gives.
  func settle(closingFlows: Bool = false) {
    reconnect()
    isLossless = true
    var (progress, idleRounds) = (0, 0)
    var rounds = 0
    while violation == nil, idleRounds < 1_000, rounds < 50_000 {
      toPrimary.flush(&random, withLate: true)
      toSecondary.flush(&random, withLate: true)
      now += 2_000
      if closingFlows {
        now += options.idleTimeout / 16
        sweep()
      }
      pass()
      rounds += 1
      // Seldom: with the smallest output buffer gap repair brings one packet in a scan.
      if isRepairing, rounds % 512 == 0, toPrimary.count + toSecondary.count == 0 { revealTails() }
      let positions = Int(primary.tail + primary.freed + primary.clocksApplied)
      let sum = transmitted.count + positions + secondary.heldCount + closesCommitted + repairProgress
      (progress, idleRounds) = (sum, sum == progress ? idleRounds + 1 : 0)
      if isAtRest, hasNoHiddenTail, !closingFlows || unit.table.slots.occupied == 0 { return checkRest() }
    }
    fail(
      "does not come to rest: ways \(toPrimary.count) and \(toSecondary.count), \(bank.live) packets held; primary: room "
        + "\(primary.room), open \(primary.openCount), in flight \(primary.batchesInFlight), pending \(primary.pendingCount), "
        + "tail \(primary.tail), released \(primary.released), clocked \(primary.clockedTail), freed \(primary.freed), clocks "
        + "\(primary.clocksTaken) \(primary.clocksSent) \(primary.clocksApplied); secondary: held \(secondary.heldCount), "
        + "pending \(secondary.pendingCount); egress \(toEgress.count) and \(egress.heldCount); slots "
        + "\(unit.table.slots.occupied)\(stuckFlows)")
  }

  func checkRest() {
    var latest: [Int: UInt32] = [:]
    for (flowID, run) in runs {
      require(
        run.isComplete || !options.replication.isReplicated && run.out == run.leaving.count,
        "flow \(flowID): \(run.out) of \(run.leaving.count) are out")
      let index = layout.index(flowID)
      if let other = latest[index], layout.isLater(other, than: flowID) { continue }
      latest[index] = flowID
    }
    let expected = latest.values.reduce(UInt64(0)) { $0 &+ runs[$1]!.digest() }
    let first = primary.digest()
    let isSequential = first.flows == latest.count && first.digest == expected
    require(isSequential, "the primary's states are not those of a sequential run")
    guard options.replication.isReplicated else { return }
    let second = secondary.digest()
    require(second.flows == latest.count && second.digest == expected, "the secondary's states differ")
    require(primary.pendingCount == 0 && secondary.pendingCount == 0 && egress.heldCount == 0, "something is pending")
  }
}
