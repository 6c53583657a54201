import DEFTWire

// A new secondary while packets flow (R9): copy-before-write. A flow's base entry, its state as of before the first packet
// processed in the new epoch, goes into the log of prepares before any prepare that covers the flow; a sweep adds the
// flows that no packet touches. So the secondary gets each flow once, and the ordinary votes and state clocks do the rest.
extension PrimaryReplica where Log: ~Copyable {
  /// A sync may begin: what a takeover inherited as voted for has been processed, and a restart is over.
  public var maySync: Bool {
    guard restarting.isOver else { return false }
    return standing == .none && backlog.phase != .voted && configuration.isReplicated && !isSteppedDown
  }

  /// The map has a new secondary: (P, none) → (P, C syncing, e+1). The new epoch is a new stream: batches begin with 1 in
  /// new logs. Afterwards the switch's rule is changed, and `drained` called when everything stamped before has arrived.
  ///
  /// Under `hold` this lets go what was processed and waits for the vote of a secondary that failed: nobody can vote for it
  /// any more, for the snapshot shows only what comes after. It is counted as unprotected.
  ///
  /// - Parameter prepares: has room for two messages of `ReplicationConfiguration.longestSnapshotMessage`.
  public mutating func beginSync(epoch: UInt32, prepares: consuming Log, commits: consuming Log, now: UInt64) {
    precondition(maySync && epoch > configuration.epoch)
    configuration.epoch = epoch
    self.prepares = prepares
    self.commits = commits
    for i in 0..<batchFlowCount { flows[Int(batchFlows[i])].pointee.isInBatch = false }
    batchFlowCount = 0
    // The snapshot shows the flows behind what was declared lost.
    repair.forgetLost()
    closed = tail
    releaseUnvoted()
    // The next state clock is the first of the new stream.
    if clockedTail != tail || clockFlowCount > 0 { takeStateClockAlone(now: now) }
    closedBatch = 0
    votedBatch = 0
    votedEnd = tail
    standing = .syncing
    snapshot.begin(passed: passed, tail: tail)
    counters.syncs &+= 1
    applyPolicy()
  }

  /// Everything that was stamped before the switch's rule named the new secondary is here (or is known to be lost): what the
  /// new secondary has no copy of can no longer appear.
  public mutating func drained() { snapshot.isDrained = true }

  /// One step of the snapshot: at most `snapshotChunk` flows of the sweep, and what is due after it. To be called in every
  /// poll while `isSyncing`. True if the secondary has something to read.
  public mutating func continueSync(now: UInt64) -> Bool {
    guard !isSteppedDown else { return false }
    if standing == .syncing, isFull { relieve() }
    switch snapshot.phase {
    case .idle, .voting, .done: return false
    case .ended:
      guard snapshot.isEndDue, sendBase(count: 0, kind: .baseEnd, isRepeated: true) else { return false }
      snapshot.isEndDue = false
      return true
    case .sweeping:
      sweepBases()
      let sent = flushBases()
      if snapshot.sweepIndex == flows.layout.indexCount, snapshot.stagedCount == 0 { snapshot.phase = .swept }
      updateRoomLimit()
      return sent
    case .swept:
      // R9: whatever only this replica has must have been processed, so that a vote covers it.
      if snapshot.drainedTail == nil, snapshot.isDrained, pending.count == 0, backlog.count == 0,
        gate.keptCount == 0
      {
        snapshot.drainedTail = tail
      }
      guard let drainedTail = snapshot.drainedTail, closed >= drainedTail, acknowledgedCount >= snapshot.passedBefore,
        sendBase(count: 0, kind: .baseEnd)
      else { return false }
      snapshot.phase = .ended
      return true
    }
  }

  /// `hold` keeps everything until the secondary is in sync, and that needs everything from before the rule change to be
  /// processed, which may be more than the output buffer, or the table of losses, has room for. Then, and only then, what the
  /// syncing secondary has voted for goes: it holds those packets and their flows' states, so nothing is released that only this replica knows.
  /// Counted.
  private mutating func relieve() {
    guard votedEnd > voted else { return }
    counters.releasedWhileSyncing &+= votedEnd - voted
    voted = votedEnd
  }

  /// Nothing can be processed, or no loss declared, before something is released, acknowledged and freed.
  private var isFull: Bool {
    let left = configuration.retained - Int(tail - freed)
    return max(left - pending.count, left > configuration.pendingPerFlow ? 1 : 0) <= 0
      || clockFlowCount >= configuration.stateClockFlows || !repair.mayDeclare
  }

  /// Flow indices that the sweep under way has looked at.
  public var sweptCount: Int { snapshot.sweepIndex }
  /// A snapshot is under way.
  public var isSyncing: Bool { standing == .syncing }
  /// The secondary alone can reconstruct everything voted or stamped, and from now on nothing is released that it has not
  /// voted for: the map may be asked for (P, C inSync).
  public var isSyncComplete: Bool { standing == .syncing && snapshot.phase == .done }

  /// The map says (P, C inSync, e): its votes let packets go from now on.
  public mutating func becomeProtected() {
    precondition(isSyncComplete)
    standing = .inSync
    snapshot.reset()
    voted = max(voted, votedEnd)
    applyPolicy()
  }

  // MARK: base entries

  /// What may be processed before base entries need room.
  var baseRoom: Int { snapshot.phase == .sweeping ? snapshot.room : .max }

  /// Before a burst is processed: the base entries of the flows that it may touch.
  @inline(never)
  @usableFromInline
  mutating func copyBeforeWrite(_ packets: UnsafePointer<Packet>, count: Int) {
    for i in 0..<count { stageBase(flows.layout.index(packets[i].pointee.flowID)) }
    updateRoomLimit()
  }

  mutating func stageBase(_ index: Int) {
    guard snapshot.markBased(index) else { return }
    let flow = flows[index]
    // A flow that begins in this epoch begins at the secondary as it does here (R16).
    guard flow.pointee.flowID != 0, !gate.isFiltering || !gate.isInert(flow.pointee.flowID) else { return }
    let stateSize = MemoryLayout<Function.State>.size
    let entry = snapshot.stage()
    write(flow, to: entry, stateSize: stateSize, entryBytes: snapshot.entryBytes)
    counters.basesSent &+= 1
  }

  private mutating func sweepBases() {
    let end = min(snapshot.sweepIndex + configuration.snapshotChunk, flows.layout.indexCount)
    while snapshot.sweepIndex < end, snapshot.room > configuration.batch {
      stageBase(snapshot.sweepIndex)
      snapshot.sweepIndex += 1
    }
  }

  /// Writes what is staged into the log. False: nothing was written.
  private mutating func flushBases() -> Bool {
    var wrote = false
    while snapshot.stagedCount > 0 {
      guard sendBase(count: min(snapshot.stagedCount, configuration.snapshotChunk), kind: .base) else { break }
      wrote = true
    }
    return wrote
  }

  /// Before a prepare: the base entries of its flows are in the log. False: there is no room yet.
  mutating func flushBasesBeforePrepare() -> Bool {
    guard snapshot.stagedCount > 0 else { return true }
    _ = flushBases()
    updateRoomLimit()
    return snapshot.stagedCount == 0
  }

  private mutating func sendBase(count: Int, kind: ControlMessageHeader.Kind, isRepeated: Bool = false) -> Bool {
    let length = ControlMessageHeader.byteCount + count * snapshot.entryBytes
    guard snapshot.sent - snapshot.applied < SnapshotState.capacity - 1, let message = prepares.reserve(length) else {
      counters.prepareLogFull &+= 1
      return false
    }
    ControlMessageHeader(
      kind: kind, pair: configuration.pair, epoch: configuration.epoch, batch: snapshot.sent + (isRepeated ? 0 : 1),
      count: UInt32(count), detail: UInt32(snapshot.entryBytes), length: length
    ).write(to: message)
    if count > 0 {
      (message + ControlMessageHeader.byteCount).copyMemory(
        from: snapshot.staged + snapshot.stagedHead * snapshot.entryBytes, byteCount: count * snapshot.entryBytes)
      snapshot.stagedHead += count
      if snapshot.stagedHead == snapshot.stagedTail { (snapshot.stagedHead, snapshot.stagedTail) = (0, 0) }
    }
    let end = prepares.append(length)
    prepares.publish(through: end)
    snapshot.note(end: end, isRepeated: isRepeated)
    return true
  }

  /// `synced`: how many base messages the secondary has applied, and whether it is through.
  mutating func learnSynced(_ header: ControlMessageHeader) {
    guard standing == .syncing, header.batch <= snapshot.sent else {
      // The secondary repeats itself after a reconnection.
      if standing != .inSync { counters.impossibleMessages &+= 1 }
      return
    }
    if header.batch > snapshot.applied {
      snapshot.applied = header.batch
      prepares.trim(through: snapshot.end(of: header.batch))
    }
    if votedBatch == closedBatch { prepares.trim(through: snapshot.trimmable) }
    if header.flags & ControlMessageHeader.syncComplete != 0, snapshot.phase == .ended {
      // From here on a release needs a vote, whatever the policy. What went without one must be voted for, too, before the
      // secondary may be promoted: it could not re-process what it does not hold.
      snapshot.phase = .voting
      snapshot.unvotedEnd = voted
      releasesUnvoted = false
      finishVoting()
    }
  }

  /// After a vote.
  mutating func finishVoting() {
    guard snapshot.phase == .voting || snapshot.phase == .done else { return }
    // Policy `release`: the vote of one that syncs is as good a reason as none.
    if configuration.policy == .release { voted = max(voted, votedEnd) }
    if votedEnd >= snapshot.unvotedEnd { snapshot.phase = .done }
  }

  mutating func dropSync() { snapshot.reset() }
}

extension PrimaryReplica where Log: ~Copyable {
  /// One flow's entry in a state clock or a snapshot.
  @inline(__always)
  func write(
    _ flow: UnsafeMutablePointer<FlowState<Function.State>>, to entry: UnsafeMutableRawPointer, stateSize: Int,
    entryBytes: Int
  ) {
    StateEntry(
      flowID: flow.pointee.flowID, next: flow.pointee.next, lastPassed: flow.pointee.lastPassed,
      isClosed: flow.pointee.isClosed, time: flow.pointee.time
    ).write(to: entry)
    // No byte of an earlier message goes out as padding.
    if stateSize % 8 != 0 { (entry + entryBytes - 8).storeBytes(of: 0, as: UInt64.self) }
    (entry + StateEntry.byteCount).storeBytes(of: flow.pointee.state, as: Function.State.self)
  }
}
