import DEFTWire

// Batches, votes, release, state clocks (paper, IV-D).
extension PrimaryReplica where Log: ~Copyable {
  /// Closes the open batch if it is time: it is full, the input ran dry, or it has been open for `flushInterval`.
  /// True if the secondary has something to read.
  @inlinable
  public mutating func closeBatchIfDue(inputIsDry: Bool, now: UInt64) -> Bool {
    guard tail != closed || repair.lostCount != 0 else {
      return takeStateClockIfDue(inputIsDry: inputIsDry, now: now)
    }
    guard batchesInFlight < configuration.window else { return false }
    guard
      openCount >= configuration.batch || (inputIsDry && batchesInFlight < configuration.dryWindow)
        || now &- batchOpened >= configuration.flushInterval || wantsStateClock
    else { return false }
    return closeBatch(now: now)
  }

  @usableFromInline
  mutating func closeBatch(now: UInt64) -> Bool {
    guard !isSteppedDown else { return false }
    guard standing != .none else {
      closeAlone(now: now)
      return false
    }
    let lostBytes = repair.lostCount * PacketRange.byteCount
    let length = ControlMessageHeader.byteCount + batchFlowCount * ClockEntry.byteCount + lostBytes
    let basesBefore = snapshot.sent
    guard flushBasesBeforePrepare(), let message = prepares.reserve(length) else {
      counters.prepareLogFull &+= 1
      return snapshot.sent != basesBefore
    }
    closedBatch &+= 1
    lastBatchWasFull = openCount >= configuration.batch
    ControlMessageHeader(
      kind: .prepare, pair: configuration.pair, epoch: configuration.epoch, batch: closedBatch,
      count: UInt32(batchFlowCount), detail: UInt32(repair.lostCount),
      flags: isLightlyLoaded ? ControlMessageHeader.promptVote : 0, length: length
    ).write(to: message)
    var entry = message + ControlMessageHeader.byteCount
    for i in 0..<batchFlowCount {
      let flow = flows[Int(batchFlows[i])]
      flow.pointee.isInBatch = false
      ClockEntry(flowID: flow.pointee.flowID, next: flow.pointee.next).write(to: entry)
      entry += ClockEntry.byteCount
    }
    batchFlowCount = 0
    if lostBytes > 0 { repair.writeLost(to: entry) }
    // The control thread's cache has them: the next batch's are fetched meanwhile.
    var ahead = 0
    while ahead < min(length, 4096) {
      Storage.prefetchForWriting(entry + ahead)
      ahead &+= 64
    }
    let end = prepares.append(length)
    prepares.publish(through: end)
    closed = tail
    batches[Int(closedBatch & batchMask)] = Batch(end: closed, prepareEnd: end)
    if releasesUnvoted { releaseUnvoted() }
    counters.batchesPrepared &+= 1
    counters.batchesInFlightHighWater = max(counters.batchesInFlightHighWater, UInt64(batchesInFlight))
    if Int(tail - clockedTail) >= configuration.stateClockPackets || wantsStateClock { takeStateClock(now: now) }
    return true
  }

  /// There is never anybody to ask: what is processed may go.
  mutating func closeUnreplicated() {
    for i in 0..<batchFlowCount { flows[Int(batchFlows[i])].pointee.isInBatch = false }
    batchFlowCount = 0
    repair.forgetLost()
    for i in 0..<clockFlowCount { flows[Int(clockFlows[i])].pointee.isInStateClock = false }
    clockFlowCount = 0
    closed = tail
    voted = tail
    closedBatch &+= 1
    votedBatch = closedBatch
    counters.batchesPrepared &+= 1
  }

  /// Batches are closed before they are full: each counts for latency. Under load messages are better gathered, because
  /// waking a control thread costs the lcore more than the message.
  @inlinable @inline(__always)
  public var isLightlyLoaded: Bool { !lastBatchWasFull }

  // MARK: state clocks

  /// State clock intervals after which a state clock is taken although the input is busy.
  private static var overdueIntervals: UInt64 { 16 }

  /// With no batch open: the input is quiet, or nothing can come in because only a state clock frees the output buffer (the
  /// one that was due at the close found no room in its log, or came too early).
  @usableFromInline
  mutating func takeStateClockIfDue(inputIsDry: Bool, now: UInt64) -> Bool {
    guard configuration.isReplicated, clockedTail != tail || repair.lostClocked != repair.lostDeclared, !isSteppedDown
    else { return false }
    let age = now &- clockedTime
    let isQuiet = inputIsDry && (age >= configuration.stateClockInterval || configuration.stateClockPackets == 1)
    // Packets that nobody wants can keep the input from running dry for ever.
    let isOverdue = age >= Self.overdueIntervals * configuration.stateClockInterval
    guard isQuiet || isOverdue || wantsStateClock || (room == 0 && batchesInFlight < configuration.window) else {
      return false
    }
    takeStateClock(now: now)
    return false  // nothing to read before egress has acknowledged
  }

  /// R3: copies the state of every flow touched since the last state clock, as of the batch that was closed just now. It
  /// lies in the log, unsent, until egress has acknowledged every packet it covers (R2).
  @usableFromInline
  mutating func takeStateClock(now: UInt64) {
    guard clocksTaken - clocksApplied < Self.stateClockCapacity else { return }
    guard standing != .none else { return takeStateClockAlone(now: now) }
    let stateSize = MemoryLayout<Function.State>.size
    let entryBytes = ReplicationConfiguration.stateEntryBytes(stateSize: stateSize)
    let length = ControlMessageHeader.byteCount + clockFlowCount * entryBytes
    guard let message = commits.reserve(length) else {
      counters.commitLogFull &+= 1
      return
    }
    ControlMessageHeader(
      kind: .commit, pair: configuration.pair, epoch: configuration.epoch, batch: closedBatch,
      count: UInt32(clockFlowCount), detail: UInt32(entryBytes), length: length
    ).write(to: message)
    var entry = message + ControlMessageHeader.byteCount
    for i in 0..<clockFlowCount {
      if i + 4 < clockFlowCount { Storage.prefetch(flows[Int(clockFlows[i + 4])]) }
      let flow = flows[Int(clockFlows[i])]
      flow.pointee.isInStateClock = false
      Storage.prefetchForWriting(entry + 1024)
      write(flow, to: entry, stateSize: stateSize, entryBytes: entryBytes)
      entry += entryBytes
    }
    clockFlowCount = 0
    clockedTail = tail
    clockedTime = now
    stateClocks[Int(clocksTaken % Self.stateClockCapacity)] = StateClock(
      batch: closedBatch, end: tail, passed: passed, logEnd: commits.append(length),
      lostRanges: repair.lostDeclared)
    repair.lostClocked = repair.lostDeclared
    clocksTaken &+= 1
    counters.stateClocksTaken &+= 1
  }

  /// Egress has everything up to its `count`-th packet from this primary (R2). True if the secondary has something to read.
  @inlinable
  public mutating func acknowledged(_ count: UInt64) -> Bool {
    guard configuration.isReplicated else {
      freeUnreplicated(count)
      return false
    }
    acknowledgedCount = max(acknowledgedCount, count)
    var sent = false
    while clocksSent < clocksTaken {
      let clock = stateClocks[Int(clocksSent % Self.stateClockCapacity)]
      guard clock.batch <= votedBatch, count >= clock.passed else { break }
      freeable = clock.end
      clocksSent &+= 1
      // Batch 0: taken while there was no secondary, so there is nothing to send, and nobody to wait for.
      if clock.batch == 0 {
        applied = clock.end
        clocksApplied = clocksSent
        continue
      }
      commits.publish(through: clock.logEnd)
      sent = true
    }
    return sent
  }

  /// Without a secondary there is nothing to keep a packet for.
  @usableFromInline
  mutating func freeUnreplicated(_ count: UInt64) {
    freeable = released
    acknowledgedCount = count
  }

  // MARK: votes and release

  /// A message from the secondary. The caller has checked its lengths. True if the logs have something to send (again).
  /// `make` makes a packet of what gap repair brings; without it there is nothing to make packets of.
  public mutating func receive(
    _ message: UnsafeRawBufferPointer, make: PacketMaker = { _, _, _ in nil }
  ) -> Bool {
    let bytes = message.baseAddress.unsafelyUnwrapped
    let header = ControlMessageHeader(reading: bytes)
    guard header.epoch == configuration.epoch, header.pair == configuration.pair, !isSteppedDown else {
      counters.staleEpochMessages &+= 1
      // B4: whoever speaks of a later epoch knows that the map has changed.
      if header.pair == configuration.pair, header.epoch > configuration.epoch { stepDown() }
      return false
    }
    let body = bytes + ControlMessageHeader.byteCount
    switch ControlMessageHeader.Kind(rawValue: header.kind) {
    case .vote:
      learn(voted: header.batch, applied: UInt64(littleEndian: body.loadUnaligned(as: UInt64.self)))
      return false
    case .resume:
      learn(voted: header.batch, applied: UInt64(littleEndian: body.loadUnaligned(as: UInt64.self)))
      prepares.rewind()
      commits.rewind()
      // The word that the snapshot is complete may have been lost with the connection.
      if snapshot.phase == .ended { snapshot.isEndDue = true }
      return true
    case .synced:
      learnSynced(header)
      return false
    case .want, .packet, .missing, .uncovered:
      receiveRepair(header, body, make)
      return false
    default:
      counters.impossibleMessages &+= 1
      return false
    }
  }

  /// Votes are cumulative, and so is what has been applied (R13).
  private mutating func learn(voted batch: UInt64, applied appliedBatch: UInt64) {
    guard batch <= closedBatch, appliedBatch <= batch else {
      counters.impossibleMessages &+= 1
      return
    }
    if batch > votedBatch {
      let record = batches[Int(batch & batchMask)]
      counters.batchesVoted &+= batch - votedBatch
      votedBatch = batch
      votedEnd = record.end
      if standing == .inSync { voted = max(voted, votedEnd) } else { finishVoting() }
      prepares.trim(through: batch == closedBatch ? max(record.prepareEnd, snapshot.trimmable) : record.prepareEnd)
    }
    while clocksApplied < clocksSent {
      let clock = stateClocks[Int(clocksApplied % Self.stateClockCapacity)]
      guard clock.batch <= appliedBatch else { break }
      commits.trim(through: clock.logEnd)
      applied = clock.end
      repair.lostApplied = clock.lostRanges
      clocksApplied &+= 1
      counters.stateClocksApplied &+= 1
    }
  }

  /// Takes up to `capacity` packets that may leave now, in order, into `packets`; the caller hands them to egress, and with
  /// them egress's reference. Returns how many.
  @inlinable
  public mutating func release(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    var count = 0
    var position = released
    // Read once: as far as the compiler knows, what is written to `packets` might be these.
    let (output, mask, end) = (output, outputMask, voted)
    while position != end, count < capacity {
      let tagged = output[Int(truncatingIfNeeded: position & mask)]
      if tagged & 1 == 0 {
        packets[count] = Packet(bitPattern: tagged).unsafelyUnwrapped
        count &+= 1
      }
      position &+= 1
    }
    released = position
    counters.released &+= UInt64(count)
    return count
  }

  /// Takes up to `capacity` packets whose state clock has been sent out of the output buffer: `passed` ones of which the
  /// primary's reference is to be given up, `dropped` ones of which the primary's and egress's are. Both arrays have room for
  /// `capacity`. Without replication the primary keeps no reference of passed packets, so only dropped ones count.
  @inlinable
  public mutating func takeFreed(
    passed passedPackets: UnsafeMutablePointer<Packet>, dropped droppedPackets: UnsafeMutablePointer<Packet>,
    capacity: Int
  ) -> (passed: Int, dropped: Int) {
    var passedCount = 0
    var droppedCount = 0
    // Packets that the NF dropped need no acknowledgement, so `freeable` may be ahead of what `release` has walked over.
    var position = freed
    let end = position &+ min(min(freeable, released) &- position, UInt64(truncatingIfNeeded: capacity))
    let (output, mask) = (output, outputMask)
    while position != end {
      let tagged = output[Int(truncatingIfNeeded: position & mask)]
      if tagged & 1 == 0 {
        passedPackets[passedCount] = Packet(bitPattern: tagged).unsafelyUnwrapped
        passedCount &+= 1
      } else {
        droppedPackets[droppedCount] = Packet(bitPattern: tagged & ~1).unsafelyUnwrapped
        droppedCount &+= 1
      }
      position &+= 1
    }
    freed = position
    freedPassed &+= UInt64(passedCount)
    return (passedCount, droppedCount)
  }

  /// The next flow whose close is committed on both replicas, if any: its slot goes back to the stamper (R16).
  @inlinable
  public mutating func nextCommittedClose() -> UInt32? {
    guard closesHead != closesTail else { return nil }
    let close = closes[Int(closesHead & closeMask)]
    guard configuration.isReplicated ? close.position < applied : close.passed <= acknowledgedCount else { return nil }
    closesHead &+= 1
    return close.flowID
  }

  // MARK: inspection

  /// Nothing processed is waiting for anything any more.
  public var isQuiescent: Bool {
    guard pending.count == 0, closed == tail, released == tail, backlogCount == 0, gate.count == 0, !hasMoves,
      repair.lostApplied == repair.lostDeclared
    else { return false }
    return configuration.isReplicated ? clocksApplied == clocksTaken && clockedTail == tail : true
  }

  /// Order-independent digest of every flow's order, chain, time and state.
  public func digest() -> (digest: UInt64, flows: Int) {
    var sum: UInt64 = 0
    var count = 0
    forEachFlow { flow in
      guard !gate.isInert(flow.flowID) else { return }
      count += 1
      sum &+= flow.digest(next: flow.next)
    }
    return (sum, count)
  }

  /// What the replica knows of each flow, by index.
  public func forEachFlow(_ body: (FlowState<Function.State>) -> Void) {
    for index in 0..<flows.layout.indexCount {
      let flow = flows[index]
      if flow.pointee.flowID != 0 { body(flow.pointee) }
    }
  }
}
