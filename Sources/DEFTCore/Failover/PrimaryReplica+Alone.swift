import DEFTWire

// A primary without a secondary in sync: the policy (R7, R17).
extension PrimaryReplica where Log: ~Copyable {
  /// What `standing` and the policy mean for releases and for the input.
  mutating func applyPolicy() {
    releasesUnvoted = configuration.isReplicated && standing != .inSync && configuration.policy == .release
    updateRoomLimit()
  }

  /// The input waits while copies taken over have not been offered and inherited losses not been skipped (they came first),
  /// and while nothing may be processed.
  mutating func updateRoomLimit() {
    roomLimit = mayProcess ? min(baseRoom, gate.isFiltering ? gate.free : .max) : 0
    copiesBeforeWrite = snapshot.phase == .sweeping
  }

  /// Packets that were not taken over may be processed.
  var mayProcess: Bool {
    guard restarting.isOver else { return false }
    return !isSteppedDown && backlog.phase == .stragglers && inheritedLossCount == 0
      && !(configuration.isReplicated && standing == .none && configuration.policy == .hold)
  }

  /// Closes the open batch with nobody to ask. Without replication, or if the policy says so, it may go; and it may go if
  /// it was voted for in the epoch before.
  mutating func closeAlone(now: UInt64) {
    guard configuration.isReplicated else { return closeUnreplicated() }
    guard releasesUnvoted || backlog.phase == .voted, !isSteppedDown else { return }
    for i in 0..<batchFlowCount { flows[Int(batchFlows[i])].pointee.isInBatch = false }
    batchFlowCount = 0
    repair.forgetLost()
    closed = tail
    closedBatch &+= 1
    votedBatch = closedBatch
    counters.batchesPrepared &+= 1
    if backlog.phase == .voted { voted = closed } else { releaseUnvoted() }
    if Int(tail - clockedTail) >= configuration.stateClockPackets { takeStateClockAlone(now: now) }
  }

  /// R7: the map says that nobody is in sync, and the policy that packets go all the same.
  mutating func releaseUnvoted() {
    counters.unprotected &+= closed - voted
    voted = closed
  }

  /// There is nobody to send the states to, but what egress has not acknowledged is kept all the same (R2): a record of
  /// where that is.
  mutating func takeStateClockAlone(now: UInt64) {
    for i in 0..<clockFlowCount { flows[Int(clockFlows[i])].pointee.isInStateClock = false }
    clockFlowCount = 0
    clockedTail = tail
    clockedTime = now
    counters.stateClocksTaken &+= 1
    let record = StateClock(batch: 0, end: tail, passed: passed, logEnd: 0, lostRanges: repair.lostDeclared)
    if clocksTaken - clocksSent > 0, clocksTaken - clocksApplied == Self.stateClockCapacity {
      // The last one takes this one in: it frees later than it might.
      stateClocks[Int((clocksTaken - 1) % Self.stateClockCapacity)] = record
    } else {
      stateClocks[Int(clocksTaken % Self.stateClockCapacity)] = record
      clocksTaken &+= 1
    }
  }

  /// The map has no secondary any more: (P, S) → (P, none, e+1). What the policy `release` lets go, goes; under `hold`
  /// what was processed and not voted for stays, and nothing more is processed until a sync begins.
  public mutating func secondaryFailed(epoch: UInt32) {
    precondition(epoch > configuration.epoch && configuration.isReplicated && standing != .none)
    guard !isSteppedDown else { return }
    configuration.epoch = epoch
    standing = .none
    dropSync()
    endMoves()
    // State clocks wait for egress alone now.
    applied = clocksSent == clocksApplied ? applied : stateClocks[Int((clocksSent - 1) % Self.stateClockCapacity)].end
    clocksApplied = clocksSent
    var clock = clocksSent
    while clock != clocksTaken {
      let place = Int(clock % Self.stateClockCapacity)
      stateClocks[place].batch = 0
      stateClocks[place].logEnd = 0
      clock += 1
    }
    repair.forgetLost()
    repair.forgetSecondary()
    closedBatch = 0
    votedBatch = 0
    votedEnd = voted
    applyPolicy()
    if releasesUnvoted { releaseUnvoted() }
  }
}
