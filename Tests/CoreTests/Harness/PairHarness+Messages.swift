import DEFTWire

@testable import DEFTCore

// What happens to messages.
extension PairHarness {
  /// Lets the primary close its batch if it is time. Returns true if it did.
  @discardableResult
  func closeBatch(dry: Bool) -> Bool {
    let before = prepares.messages.count
    let clocksBefore = commits.messages.count
    _ = primary.closeBatchIfDue(inputIsDry: dry, now: now)
    if commits.messages.count > clocksBefore { checkStateClock(commits.messages[clocksBefore].bytes) }
    checkPositions()
    guard options.replication.isReplicated, prepares.messages.count > before else { return false }
    require(prepares.messages.count == before + 1, "a batch is closed twice")
    checkPacketClock(prepares.messages[before].bytes)
    touched = []
    processed = 0
    return true
  }

  private func checkPacketClock(_ bytes: [UInt8]) {
    let (header, entries) = clock(bytes)
    require(header.defect() == nil && header.length == bytes.count, "a malformed prepare: \(header)")
    require(header.batch == UInt64(clocks.count), "prepare \(header.batch) follows \(clocks.count - 1)")
    require(Set(entries.map(\.flowID)) == touched, "prepare \(header.batch) covers other flows than were touched")
    require(entries.count == touched.count, "prepare \(header.batch) names a flow twice")
    for entry in entries {
      withRun(entry.flowID) {
        require($0.atPrimary.next == entry.next, "prepare \(header.batch): flow \(entry.flowID) next \(entry.next)")
      }
    }
    clocks.append(entries)
    losses.append(lostRanges(bytes))
    require(losses[clocks.count - 1] == declared, "prepare \(header.batch) does not say what was declared lost")
    require(clocks.count - 1 - knownVoted <= options.replication.window, "more than `window` batches are in flight")
    let most = options.replication.batch + options.replication.pending
    require(processed > 0 || !declared.isEmpty, "an empty batch")
    require(processed <= most, "a batch of \(processed) packets")
    declared = []
  }

  func clock(_ bytes: [UInt8]) -> (header: ControlMessageHeader, entries: [ClockEntry]) {
    bytes.withUnsafeBytes { buffer in
      let header = ControlMessageHeader(reading: buffer.baseAddress!)
      let isClock = header.kind == ControlMessageHeader.Kind.prepare.rawValue
      let entries = (0..<(isClock ? Int(header.count) : 0)).map {
        ClockEntry(reading: buffer.baseAddress! + ControlMessageHeader.byteCount + $0 * ClockEntry.byteCount)
      }
      return (header, entries)
    }
  }

  func states(_ bytes: [UInt8]) -> (
    header: ControlMessageHeader, entries: [(entry: StateEntry, state: ScriptedFunction.State)]
  ) {
    bytes.withUnsafeBytes { buffer in
      let header = ControlMessageHeader(reading: buffer.baseAddress!)
      return (
        header,
        (0..<Int(header.count)).map {
          let place = buffer.baseAddress! + ControlMessageHeader.byteCount + $0 * Int(header.detail)
          return (
            StateEntry(reading: place),
            (place + StateEntry.byteCount).loadUnaligned(as: ScriptedFunction.State.self)
          )
        }
      )
    }
  }

  /// R3: states are those of exactly the packets below `next`, and that is where the last closed batch ended.
  private func checkStateClock(_ bytes: [UInt8]) {
    let (header, entries) = states(bytes)
    require(header.defect() == nil && header.length == bytes.count, "a malformed commit: \(header)")
    var seen: Set<UInt32> = []
    for (entry, state) in entries {
      require(seen.insert(entry.flowID).inserted, "commit \(header.batch) names a flow twice")
      withRun(entry.flowID) { run in
        guard let point = run.point(before: entry.next) else { return fail("commit \(header.batch): next \(entry.next)") }
        let isRight =
          point.state == state && point.lastPassed == entry.lastPassed && point.time == entry.time
          && point.isClosed == (entry.isClosed == 1) && run.atPrimary.next == entry.next
        require(isRight, "commit \(header.batch): flow \(entry.flowID) \(entry) \(state), should be \(point)")
      }
    }
  }

  /// The primary's node puts the next message on the wire. Returns false if there is none.
  @discardableResult
  func sendToSecondary(commit: Bool) -> Bool {
    guard isConnected, let bytes = (commit ? commits : prepares).read() else { return false }
    if commit {
      for (entry, _) in states(bytes).entries {
        withRun(entry.flowID) {
          require(
            $0.acknowledged.isSeriallyAtLeast(entry.lastPassed), "a commit is sent before egress has its packets (R2)")
        }
      }
    }
    messagesToSecondary.append(bytes)
    return true
  }

  /// The secondary takes the next message. Returns false if there is none.
  @discardableResult
  func deliverMessageToSecondary() -> Bool {
    guard !messagesToSecondary.isEmpty else { return false }
    let bytes = messagesToSecondary.removeFirst()
    let applied = secondary.appliedBatch
    bytes.withUnsafeBytes { secondary.receive($0, make: makeForSecondary) }
    if secondary.appliedBatch != applied {
      for (entry, _) in states(bytes).entries { withRun(entry.flowID) { $0.appliedNext = entry.next } }
    }
    require(secondary.counters.impossibleMessages == 0, "the secondary refuses a message")
    return true
  }

  /// The secondary votes for what it holds. Returns the batches voted for.
  @discardableResult
  func vote() -> Int {
    let before = secondary.votedBatch
    let isNew = secondary.vote()
    require(isNew == (secondary.votedBatch != before), "vote() says the wrong thing")
    require(secondary.votedBatch < UInt64(clocks.count), "a vote for a batch that does not exist")
    guard isNew else { return 0 }
    for batch in Int(before) + 1...Int(secondary.votedBatch) {
      // R5: what is declared lost counts as held from the vote on.
      for range in losses[batch] {
        for offset in 0..<range.count { withRun(range.flowID) { _ = $0.atSecondary.insert(range.from &+ offset) } }
      }
      for entry in clocks[batch] {
        withRun(entry.flowID) {
          require(
            $0.atSecondary.next.isSeriallyAtLeast(entry.next),
            "a vote for batch \(batch) without packet (\(entry.flowID), \($0.atSecondary.next))")
        }
      }
    }
    return Int(secondary.votedBatch - before)
  }

  /// The secondary's lcore tells its node what it voted for, which sends it on if it can.
  func tell() {
    guard told != (secondary.votedBatch, secondary.appliedBatch) else { return }
    told = (secondary.votedBatch, secondary.appliedBatch)
    if isConnected { messagesToPrimary.append(answer(.vote, voted: told.voted, applied: told.applied)) }
  }

  func answer(_ kind: ControlMessageHeader.Kind, voted: UInt64, applied: UInt64, epoch: UInt32? = nil) -> [UInt8] {
    let length = ControlMessageHeader.byteCount + 8
    var bytes = [UInt8](repeating: 0, count: length)
    let configuration = options.replication
    bytes.withUnsafeMutableBytes {
      ControlMessageHeader(
        kind: kind, pair: configuration.pair, epoch: epoch ?? configuration.epoch, batch: voted, length: length
      ).write(to: $0.baseAddress!)
      ($0.baseAddress! + ControlMessageHeader.byteCount).storeBytes(of: applied.littleEndian, as: UInt64.self)
    }
    return bytes
  }

  @discardableResult
  func deliverMessageToPrimary() -> Bool {
    guard !messagesToPrimary.isEmpty else { return false }
    let bytes = messagesToPrimary.removeFirst()
    let header = clock(bytes).header
    let isResume = header.kind == ControlMessageHeader.Kind.resume.rawValue
    let sendsAgain = bytes.withUnsafeBytes { primary.receive($0, make: makeForPrimary) }
    require(sendsAgain == isResume, "only a resume has the logs sent again")
    // A resume of an earlier connection does not open the logs while there is none.
    if isResume, !isConnected { (prepares.isOpen, commits.isOpen) = (false, false) }
    // In the messages of gap repair that field is the question's number.
    let isVote = isResume || header.kind == ControlMessageHeader.Kind.vote.rawValue
    while isVote, knownVoted < Int(header.batch) {
      knownVoted += 1
      for entry in clocks[knownVoted] { withRun(entry.flowID) { $0.votedNext = entry.next } }
    }
    require(primary.counters.impossibleMessages == 0, "the primary refuses a message")
    checkPositions()
    return true
  }

  /// The connection is lost, and with it a suffix of what was on its way in each direction.
  func cut() {
    isConnected = false
    messagesToSecondary.removeLast(random.below(messagesToSecondary.count + 1))
    messagesToPrimary.removeLast(random.below(messagesToPrimary.count + 1))
    (prepares.isOpen, commits.isOpen) = (false, false)
  }

  /// A new connection: the secondary says how far it is, the primary sends what comes behind again (R13).
  func reconnect() {
    guard !isConnected else { return }
    isConnected = true
    messagesToPrimary.append(answer(.resume, voted: told.voted, applied: told.applied))
  }

  /// The positions on the output ring, and what bounds them.
  func checkPositions() {
    let configuration = options.replication
    let inOrder =
      primary.freed <= primary.freeable && primary.freed <= primary.released && primary.released <= primary.voted
      && primary.voted <= primary.closed && primary.closed <= primary.tail && primary.freeable <= primary.voted
    require(inOrder, "positions out of order")
    require(primary.tail - primary.freed <= primary.outputMask + 1, "the output buffer overflows")
    require(primary.pendingCount <= configuration.pending, "too much is pending")
    require(primary.batchesInFlight <= configuration.window, "too many batches in flight")
    require(secondary.heldCount <= configuration.held, "the secondary holds too much")
  }
}
