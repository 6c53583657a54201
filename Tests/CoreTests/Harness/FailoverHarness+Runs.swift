import DEFTWire

@testable import DEFTCore

// Whole runs.
extension FailoverHarness {
  enum Step: Int, CaseIterable {
    case stamp, deliverToPrimary, deliverToSecondary, closeBatch, sendPrepare, sendCommit, deliverMail, vote, tell
    case deliverToPrimaryNode, release, egress, acknowledge, retransmit, free, time
    case failPrimary, suspectPrimary, zombie, wakeZombie, failSecondary, addSecondary, continueSync, repair
  }

  func weights(failures: Int) -> [Step] {
    Step.allCases.flatMap { step -> [Step] in
      let weight =
        switch step {
        case .stamp, .deliverToPrimary, .deliverToSecondary: 200 + random.below(600)
        case .failPrimary, .suspectPrimary: random.below(failures + 1)
        case .failSecondary: random.below(failures / 2 + 1)
        case .addSecondary: 5 + random.below(20)
        case .wakeZombie: 5
        default: 50 + random.below(400)
        }
      return [Step](repeating: step, count: weight)
    }
  }

  func step(_ step: Step) {
    switch step {
    case .stamp:
      guard primary.input.count < options.inFlight, (secondary?.input.count ?? 0) < options.inFlight else { return }
      stamp(random.below(options.keys), word: random.next())
    case .deliverToPrimary: deliverToPrimary(1 + random.below(32))
    case .deliverToSecondary: deliverToSecondary(1 + random.below(32))
    case .closeBatch: closeBatch(dry: primary.input.isEmpty)
    case .sendPrepare: _ = sendToSecondary(commit: false)
    case .sendCommit: _ = sendToSecondary(commit: true)
    case .deliverMail: _ = deliverMail()
    case .vote: vote()
    case .tell:
      tell()
      tellSynced()
    case .deliverToPrimaryNode: _ = deliverToPrimaryNode()
    case .release: release(1 + random.below(16))
    case .egress: runEgress(1 + random.below(16))
    case .acknowledge: acknowledge()
    case .retransmit: retransmit(1 + random.below(8))
    case .free: free(1 + random.below(32))
    case .time: now += UInt64(random.below(1_000))
    case .failPrimary: failPrimary()
    case .suspectPrimary: failPrimary(isDead: false)
    case .zombie: runZombie()
    case .failSecondary: failSecondary()
    case .addSecondary: addSecondary()
    case .continueSync: continueSync()
    case .repair: repair()
    case .wakeZombie: if zombie != nil { wakeZombie(byMessage: random.oneIn(2)) }
    }
  }

  func run(steps: Int, failures: Int) {
    let habits = weights(failures: failures)
    for _ in 0..<steps where violation == nil { step(habits[random.below(habits.count)]) }
  }

  /// Everything once, in the order of the stages' polls.
  func pass() {
    deliverToSecondary()
    while deliverToPrimaryNode() {}
    acknowledge()
    release()
    retransmit()
    free()
    let isDry = primary.input.isEmpty
    deliverToPrimary()
    closeBatch(dry: isDry)
    continueSync()
    while sendToSecondary(commit: false) || sendToSecondary(commit: true) {}
    while deliverMail() {}
    repair()
    vote()
    tell()
    tellSynced()
    runEgress()
  }

  var isComplete: Bool { runs.values.allSatisfy { $0.out == $0.leaving.count } }
  var isAtRest: Bool {
    isComplete && bank.live == 0 && primary.primary!.pointee.isQuiescent
      && (secondary?.secondary!.pointee.isQuiescent ?? true) && (!needsSecondary || assignment.standing == .inSync)
  }

  /// No more failures: everything must come to its end, and be what a sequential run gives.
  func settle(withSecondary: Bool = false) {
    releaseLoss = 0
    needsSecondary = withSecondary
    if zombie != nil { wakeZombie(byMessage: true) }
    var (progress, idleRounds) = (0, 0)
    while violation == nil, idleRounds < 500 {
      now += 2_000
      if withSecondary { addSecondary() }
      pass()
      let p = primary.primary!
      let positions = p.pointee.tail &+ p.pointee.freed &+ p.pointee.clocksApplied
      let sum = transmitted + Int(positions) + p.pointee.backlogCount
      (progress, idleRounds) = (sum, sum == progress ? idleRounds + 1 : 0)
      if isAtRest { return checkRest() }
    }
    fail("does not come to rest: " + description)
  }

  var description: String {
    let p = primary.primary!
    let positions = [
      p.pointee.freed, p.pointee.freeable, p.pointee.released, p.pointee.voted, p.pointee.closed, p.pointee.tail,
    ]
    let clocks = [p.pointee.clocksApplied, p.pointee.clocksSent, p.pointee.clocksTaken]
    var text = "\(assignment), input \(primary.input.count), live \(bank.live), backlog \(p.pointee.backlogCount) "
    text += "\(p.pointee.backlog.phase), room \(p.pointee.room), pending \(p.pointee.pendingCount), positions \(positions), "
    text += "batches \(p.pointee.votedBatch) \(p.pointee.closedBatch), clocks \(clocks), acknowledged "
    text += "\(p.pointee.acknowledgedCount) of \(p.pointee.counters.released), ledger \(ledger.acknowledged), "
    text += "egress \(toEgress.count) + \(egress.heldCount), out \(transmitted) of \(stamped)"
    return text
  }

  func checkRest() {
    var expected: UInt64 = 0
    for run in runs.values {
      expected &+= run.digest()
      require(run.out == run.leaving.count, "flow \(run.flowID): \(run.out) of \(run.leaving.count) are out")
    }
    let digest = primary.primary!.pointee.digest()
    require(digest == (expected, runs.count), "the primary's states are not those of a sequential run")
    guard let secondary else { return }
    require(secondary.secondary!.pointee.digest() == (expected, runs.count), "the secondary's states differ")
    require(egress.heldCount == 0, "egress holds something")
  }
}
