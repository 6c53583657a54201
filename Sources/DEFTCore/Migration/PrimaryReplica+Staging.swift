import DEFTWire

// The primary that a group moves to: entries are installed inert, here and at the secondary (R11); those of flows
// that went on after they were copied a second time.
//
// Each message's entries go to the secondary as a batch of the ordinary stream, without packets: numbered, voted for, sent
// again after a reconnection (R13) like any. So "staged" is: the vote covers the last of them. The map's word makes them
// live on both replicas; if it says otherwise they are discarded on both, on the secondary by such a batch, too.
extension PrimaryReplica where Log: ~Copyable {
  mutating func stage(_ header: ControlMessageHeader, _ part: MoveHeader, _ body: UnsafeRawPointer) {
    let group = Int(part.group)
    // Undone, or committed, as far as this replica knows.
    guard part.version >= gate.versions[group], Int(header.detail) == snapshot.entryBytes else {
      counters.migration.stale &+= 1
      return
    }
    guard let place = incoming(part) else { return }
    moves.incoming[place].isDue = true
    guard part.from == moves.incoming[place].end, !moves.incoming[place].isWhole || part.from == part.end else {
      // Behind something that did not arrive; or seen before.
      if part.from > moves.incoming[place].end { moves.incoming[place].isAgain = true }
      return
    }
    if header.count > 0 {
      guard sendBatch(.stage, body, count: Int(header.count)) else {
        moves.incoming[place].isAgain = true
        return
      }
      moves.incoming[place].batch = closedBatch
      for index in 0..<Int(header.count) { install(body + MoveHeader.byteCount + index * snapshot.entryBytes) }
    }
    moves.incoming[place].end = part.end
    if header.flags & ControlMessageHeader.moveComplete != 0 { moves.incoming[place].isWhole = true }
  }

  /// The move that a message belongs to; begins it if it is new. nil: a stale one, or there is no room now.
  private mutating func incoming(_ part: MoveHeader) -> Int? {
    let group = Int(part.group)
    if let place = moves.incoming.firstIndex(where: { $0.group == group }) {
      if moves.incoming[place].version == part.version { return place }
      guard moves.incoming[place].version < part.version else {
        counters.migration.stale &+= 1
        return nil
      }
      giveUp(place, isToldSecondary: true)
    }
    // The secondary has to discard an earlier attempt first.
    guard !moves.incoming.isFull, !moves.unstaged[group] else {
      counters.migration.noRoom &+= 1
      return nil
    }
    guard gate.standings[group] == .open || gate.standings[group] == .foreign else {
      counters.migration.impossible &+= 1
      return nil
    }
    flows.finishClearing(group, &gate, to: Function.initialState)
    gate.set(group, .staged)
    moves.incoming.append(
      IncomingMove(
        group: group, version: part.version, source: Int(part.sourcePair), sourceEpoch: part.sourceEpoch))
    noteMoves()
    updateRoomLimit()
    return moves.incoming.count - 1
  }

  private mutating func install(_ bytes: UnsafeRawPointer) {
    let entry = StateEntry(reading: bytes)
    let flow = flows.entry(entry.flowID)
    guard gate.standing(entry.flowID) == .staged, flow.pointee.mayBecome(entry, flows.layout) else {
      counters.migration.impossible &+= 1
      return
    }
    if flow.pointee.flowID == 0 { counters.migration.entriesStaged &+= 1 } else { counters.migration.entriesRestaged &+= 1 }
    flow.pointee.install(entry, (bytes + StateEntry.byteCount).loadUnaligned(as: Function.State.self))
  }

  /// A batch of the ordinary stream that has no packets. False: no room in the window or in the log now.
  private mutating func sendBatch(_ kind: ControlMessageHeader.Kind, _ body: UnsafeRawPointer, count: Int) -> Bool {
    let bodyBytes = MoveHeader.byteCount + count * snapshot.entryBytes
    let length = ControlMessageHeader.byteCount + bodyBytes
    guard batchesInFlight < configuration.window, let message = prepares.reserve(length) else {
      counters.migration.logFull &+= 1
      return false
    }
    closedBatch &+= 1
    ControlMessageHeader(
      kind: kind, pair: configuration.pair, epoch: configuration.epoch, batch: closedBatch, count: UInt32(count),
      detail: UInt32(snapshot.entryBytes), flags: ControlMessageHeader.promptVote, length: length
    ).write(to: message)
    (message + ControlMessageHeader.byteCount).copyMemory(from: body, byteCount: bodyBytes)
    let end = prepares.append(length)
    prepares.publish(through: end)
    batches[Int(closedBatch & batchMask)] = Batch(end: closed, prepareEnd: end)
    counters.batchesPrepared &+= 1
    return true
  }

  /// What the moves to this pair have to say: `log` goes to the primary of `source`, and keeps nothing; and what the secondary
  /// has to be told. To be called in every poll while `isMigrating`. `toSource`, `toSecondary`: there is something to read.
  public mutating func answerMoves<Out: MessageLog & ~Copyable>(
    to source: Int, into log: inout Out
  ) -> (toSource: Bool, toSecondary: Bool) {
    let toSecondary = tellUnstaged()
    var toSource = false
    for place in 0..<moves.incoming.count where moves.incoming[place].source == source {
      let move = moves.incoming[place]
      let isComplete = move.isWhole && votedBatch >= move.batch && standing == .inSync && hasToldEgress(move)
      // Once there is room for what was refused.
      let isAgain = move.isAgain && batchesInFlight < configuration.window
      // What the secondary has voted for does not stand in the way of others any more.
      let isTaken = move.isDue && !move.isAgain && votedBatch >= move.batch
      guard isAgain || isTaken || (isComplete && !move.saidComplete) else { continue }
      let length = ControlMessageHeader.byteCount + MoveHeader.byteCount
      guard let message = log.reserve(length) else {
        counters.migration.logFull &+= 1
        break
      }
      ControlMessageHeader(
        kind: .moved, pair: UInt16(source), epoch: move.sourceEpoch, batch: 0,
        flags: (isComplete ? ControlMessageHeader.moveComplete : 0) | (isAgain ? ControlMessageHeader.moveAgain : 0),
        length: length
      ).write(to: message)
      MoveHeader(
        group: UInt32(move.group), version: move.version, sourcePair: UInt32(source), sourceEpoch: move.sourceEpoch,
        from: 0, end: move.end
      ).write(to: message + ControlMessageHeader.byteCount)
      log.publish(through: log.append(length))
      moves.incoming[place].isDue = false
      moves.incoming[place].isAgain = false
      moves.incoming[place].saidComplete = isComplete
      toSource = true
    }
    return (toSource, toSecondary)
  }

  /// R12: the egress that the map names knows where this pair's flows begin, so that nothing that is said of it any more counts.
  /// (Who has learnt of the move has learnt of the egresses before it.)
  private func hasToldEgress(_ move: IncomingMove) -> Bool { !isTelling && gate.versions[move.group] >= move.version }

  /// The map names this pair: the entries are live, and what came early is processed.
  mutating func join(_ place: Int) {
    let group = moves.incoming[place].group
    moves.incoming.remove(at: place)
    counters.migration.joined &+= 1
    gate.set(group, gate.count(of: group) == 0 ? .open : .thawing)
    noteMoves()
    updateRoomLimit()
  }

  /// The move will not be committed: what came of it is discarded, here at once.
  mutating func giveUp(_ place: Int, isToldSecondary: Bool) {
    let move = moves.incoming[place]
    moves.incoming.remove(at: place)
    flows.clear(move.group, of: gate.groupCount, to: Function.initialState)
    gate.set(move.group, .foreign)
    if isToldSecondary, move.batch != 0, !moves.unstaged[move.group] {
      moves.unstaged[move.group] = true
      moves.unstagedCount += 1
    }
    counters.migration.undone &+= 1
    noteMoves()
    updateRoomLimit()
  }

  private mutating func tellUnstaged() -> Bool {
    guard moves.unstagedCount > 0 else { return false }
    var isTold = false
    for group in 0..<gate.groupCount where moves.unstaged[group] {
      let told = withUnsafeTemporaryAllocation(byteCount: MoveHeader.byteCount, alignment: 8) { bytes in
        MoveHeader(
          group: UInt32(group), version: gate.versions[group], sourcePair: 0, sourceEpoch: 0, from: 0, end: 0
        ).write(to: bytes.baseAddress.unsafelyUnwrapped)
        return sendBatch(.unstage, bytes.baseAddress.unsafelyUnwrapped, count: 0)
      }
      guard told else { break }
      moves.unstaged[group] = false
      moves.unstagedCount -= 1
      isTold = true
    }
    noteMoves()
    return isTold
  }
}

extension FlowState {
  /// The entry may take this one's place: it is the first of its flow index, or goes on from here.
  func mayBecome(_ entry: StateEntry, _ layout: FlowIDLayout) -> Bool {
    guard entry.flowID != 0 else { return false }
    if flowID == 0 || layout.isLater(entry.flowID, than: flowID) { return true }
    return flowID == entry.flowID && entry.next.isSeriallyAtLeast(next)
  }

  /// As another replica had it. Nothing pends.
  mutating func install(_ entry: StateEntry, _ state: State) {
    self = FlowState(beginning: entry.flowID, state)
    next = entry.next
    lastPassed = entry.lastPassed
    time = entry.time
    isClosed = entry.isClosed != 0
  }
}
