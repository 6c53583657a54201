import DEFTWire

// Gap repair at the primary (R4, R5, R10, B3). Nothing here runs per packet: gaps are found by scans at an interval.
//
// | a gap (flow, next) | that | is |
// |---|---|---|
// | seen by a scan | is younger than `gapTimeout` | watched |
// | watched | is older, and what was in the input buffer has been taken | asked for, again after each `gapTimeout` |
// | reported by the secondary (R4) | – | asked for: it has waited there |
// | asked for | the secondary sends | processed like any packet |
// | asked for | twice, at least a `gapTimeout` apart, the secondary did not hold | declared lost, once there is room |
// | watched, and there is no secondary | is older | declared lost |
//
// Prohibited: declared lost after one answer, or without an answer while there is a secondary; declared lost beyond what the
// answers said; skipped without a range in the open batch's prepare.
extension PrimaryReplica where Log: ~Copyable {
  /// `repairGaps` wants to be called when this time has come; to be compared at every poll.
  @inlinable @inline(__always)
  public var nextRepair: UInt64 { repair.next }
  /// Packets that gap repair has brought and that wait for room.
  public var repairedWaiting: Int { repair.repairedCount }
  /// Packets declared lost that no prepare names yet.
  public var undeclaredLosses: Int { repair.lostCount }
  /// By `undeclaredLosses`.
  public func undeclaredLoss(_ index: Int) -> PacketRange { repair.declared(index) }

  /// Does what gap repair has to do now: processes what the secondary has sent, sends what it has asked for, looks for gaps,
  /// asks, declares lost. To be called when `nextRepair` has come; not with `process` under way.
  /// - Parameters:
  ///   - inputIsDry: nothing waits in the input buffer.
  ///   - log: to the secondary; keeps nothing (what a cut connection loses is asked for again).
  ///   - unwanted: room for `ReplicationConfiguration.repairBurst`; the caller gives up all references of each.
  public mutating func repairGaps<Out: MessageLog & ~Copyable>(
    now: UInt64, inputIsDry: Bool, into log: inout Out, unwanted: UnsafeMutablePointer<Packet>
  ) -> RepairOutcome {
    var outcome = RepairOutcome()
    outcome.unwanted = processRepaired(unwanted, now: now)
    if repair.wanted.count > 0 { outcome.hasMail = sendWanted(into: &log) }
    if configuration.gapTimeout > 0, now >= repair.nextScan {
      repair.nextScan = now + configuration.scanInterval
      scan(now: now, inputIsDry: inputIsDry)
      if repair.asking.count > 0 {
        if configuration.messages(repair.pacing.question + 1).send(.want, repair.asking, into: &log) {
          repair.pacing.noteAsked(now: now)
          outcome.hasMail = true
        } else {
          counters.repair.logFull &+= 1
        }
      }
    }
    let isWaiting = repair.repairedCount > 0 || (repair.wanted.count > 0 && configuration.gapTimeout == 0)
    repair.next = isWaiting ? 0 : configuration.gapTimeout > 0 ? repair.nextScan : .max
    return outcome
  }

  // MARK: messages

  /// What the secondary says about gaps. The lengths have been checked.
  @usableFromInline
  mutating func receiveRepair(_ header: ControlMessageHeader, _ body: UnsafeRawPointer, _ make: PacketMaker) {
    let count = Int(header.count)
    switch ControlMessageHeader.Kind(rawValue: header.kind) {
    case .want:
      repair.asked = header.batch
      for index in 0..<count {
        let range = PacketRange(reading: body + index * PacketRange.byteCount)
        guard range.isPlausible else {
          counters.impossibleMessages &+= 1
          return
        }
        if !repair.wanted.add(range) { counters.repair.tableFull &+= 1 }
      }
      repair.next = 0
    case .missing:
      repair.pacing.noteAnswer(header.batch)
      for index in 0..<count {
        let range = PacketRange(reading: body + index * PacketRange.byteCount)
        guard range.isPlausible else {
          counters.impossibleMessages &+= 1
          return
        }
        counters.repair.missing &+= 1
        // Former owners may still bring it to either.
        guard !inherits(range.flowID) else { continue }
        repair.gaps.find(range.flowID)?.pointee.note(missing: range)
      }
    case .uncovered:
      for index in 0..<count { report(ClockEntry(reading: body + index * ClockEntry.byteCount)) }
    case .packet:
      repair.pacing.noteAnswer(header.batch)
      take(
        PacketImage(reading: body),
        UnsafeRawBufferPointer(start: body + PacketImage.byteCount, count: count), make)
    default: counters.impossibleMessages &+= 1
    }
  }

  private mutating func take(_ image: PacketImage, _ frame: UnsafeRawBufferPointer, _ make: PacketMaker) {
    guard let next = expected(image.flowID), next.serialDistance(from: image.counter) <= 0 else {
      counters.repair.needless &+= 1
      return
    }
    // What has no place to go to would only keep packets from the pool: it is asked for again. But what a flow waits for is
    // taken: were it refused for others that come before it in each answer, nothing would ever move.
    let places = configuration.retained - Int(tail - freed) - pending.count
    let most = image.counter == next ? ReplicationConfiguration.repairBurst : places
    guard repair.repairedCount < min(ReplicationConfiguration.repairBurst, most) else {
      counters.repair.noRoom &+= 1
      return
    }
    // While it waits here it is asked for again and again: doubles would take what the pool has for the secondary, without
    // whose votes there is never a place.
    guard repair.repairedCount < places || !repair.hasRepaired(image.flowID, image.counter) else {
      counters.repair.needless &+= 1
      return
    }
    let metadata = PacketMetadata(
      time: image.time, flowID: image.flowID, counter: image.counter, layout: image.layout)
    guard let packet = make(metadata, frame, configuration.isReplicated ? 2 : 1) else {
      counters.repair.poolEmpty &+= 1
      return
    }
    repair.repaired[repair.repairedCount] = packet
    repair.repairedCount += 1
    repair.next = 0
    counters.repair.taken &+= 1
  }

  /// R4: the secondary holds packets below `entry.next` that no clock has covered for long.
  private mutating func report(_ entry: ClockEntry) {
    guard gate.standing(entry.flowID).isProcessed, let next = expected(entry.flowID) else { return }
    let ahead = entry.next.serialDistance(from: next)
    guard ahead > 0, ahead < counterWindow else { return }
    counters.repair.uncovered &+= 1
    repair.hasReports = true
    if let gap = repair.gaps.find(entry.flowID), gap.pointee.next == next {
      gap.pointee.isReported = true
      return
    }
    let mark = counters.received
    guard let gap = repair.gaps.track(entry.flowID, next: next, upTo: entry.next, since: 0, mark: mark) else {
      counters.repair.tableFull &+= 1
      return
    }
    gap.pointee.isReported = true
  }

  /// The counter that the flow waits for; nil if the flow ID is of a generation that is over.
  private func expected(_ flowID: UInt32) -> UInt32? {
    guard flowID != 0 else { return nil }
    let flow = flows.entry(flowID)
    if flow.pointee.flowID == flowID { return flow.pointee.next }
    return mayBegin(flowID, flow) ? Stamp.firstCounter : nil
  }

  // MARK: what was sent and asked for

  private mutating func processRepaired(_ unwanted: UnsafeMutablePointer<Packet>, now: UInt64) -> Int {
    let repaired = repair.repaired
    var (done, unwantedCount) = (0, 0)
    // What is refused takes no room, and must not keep what comes behind it waiting.
    while done < repair.repairedCount {
      if gate.isFiltering {
        guard let isRefused = processPastGate(repaired[done], unwanted + unwantedCount, now: now) else { break }
        unwantedCount += isRefused ? 1 : 0
        done += 1
        continue
      }
      let count = min(repair.repairedCount - done, room)
      guard count > 0 else { break }
      unwantedCount += process(repaired + done, count: count, unwanted: unwanted + unwantedCount, now: now)
      done += count
    }
    // They did not come out of the input buffer.
    counters.received &-= UInt64(done)
    for index in done..<repair.repairedCount { repaired[index - done] = repaired[index] }
    repair.repairedCount -= done
    return unwantedCount
  }

  /// R10: originals of what the secondary lacks. It lacks what a prepare covers that it has not voted for, so what lies
  /// behind `votedEnd` is all there is to look through (`voted` may be ahead of that: what is released to one that syncs,
  /// without its vote); for the rest of the table it asks again. True if anything was sent.
  private mutating func sendWanted<Out: MessageLog & ~Copyable>(into log: inout Out) -> Bool {
    let messages = configuration.messages(repair.asked)
    let before = counters.repair.sent
    var position = votedEnd
    // More than that would find no room there.
    while position != tail, counters.repair.sent - before < UInt64(ReplicationConfiguration.repairBurst) {
      let ahead = Int(truncatingIfNeeded: (position &+ 8) & outputMask)
      if let packet = UnsafeRawPointer(bitPattern: output[ahead] & ~1) { Storage.prefetch(packet) }
      let packet = Packet(bitPattern: output[Int(truncatingIfNeeded: position & outputMask)] & ~1).unsafelyUnwrapped
      position &+= 1
      let counter = packet.pointee.counter
      guard let index = repair.wanted.index(packet.pointee.flowID, counter) else { continue }
      guard messages.send(packet, in: Storage.self, into: &log) else {
        counters.repair.logFull &+= 1
        return counters.repair.sent != before
      }
      repair.wanted.advance(index, behind: counter)
      counters.repair.sent &+= 1
    }
    // A packet that waits for its turn here is covered by no prepare, but a successor's secondary may want it.
    for index in 0..<repair.wanted.count {
      let range = repair.wanted[index]
      let flow = flows.entry(range.flowID)
      guard flow.pointee.flowID == range.flowID else { continue }
      var sent: UInt64 = 0
      pending.forEach(flow.pointee.pending) { packet, counter in
        guard range.contains(range.flowID, counter) else { return true }
        guard messages.send(packet, in: Storage.self, into: &log) else { return false }
        sent += 1
        return true
      }
      counters.repair.sent &+= sent
    }
    repair.wanted.removeAll()
    return counters.repair.sent != before
  }

  // MARK: scans

  private mutating func scan(now: UInt64, inputIsDry: Bool) {
    repair.gaps.beginScan()
    repair.asking.removeAll()
    if pending.count > 0 {
      for node in 1...pending.usedNodes {
        guard let packet = pending.packet(at: node) else { continue }
        let flow = flows.entry(packet.pointee.flowID)
        guard Int(flow.pointee.pending) == node else { continue }
        look(
          at: flow, packet.pointee.flowID, next: flow.pointee.next, upTo: packet.pointee.counter, now: now,
          inputIsDry: inputIsDry)
      }
    }
    guard repair.hasReports else { return }
    repair.hasReports = false
    for index in 0..<repair.gaps.capacity {
      guard let gap = repair.gaps.live(at: index)?.pointee, gap.isReported, gap.scan != repair.gaps.scan else { continue }
      // A flow that has gone on since is reported again if it lacks more.
      guard expected(gap.flowID) == gap.next else { continue }
      repair.hasReports = true
      look(
        at: flows.entry(gap.flowID), gap.flowID, next: gap.next, upTo: gap.upTo, now: now, inputIsDry: inputIsDry)
    }
  }

  private func inherits(_ flowID: UInt32) -> Bool { gate.inherits[gate.group(flowID)] }

  /// One gap: watches it, asks for it, or declares it lost.
  private mutating func look(
    at flow: UnsafeMutablePointer<FlowState<Function.State>>, _ flowID: UInt32, next: UInt32, upTo: UInt32, now: UInt64,
    inputIsDry: Bool
  ) {
    guard gate.standing(flowID).isProcessed else { return }
    guard let gap = repair.gaps.track(flowID, next: next, upTo: upTo, since: now, mark: counters.received) else {
      counters.repair.tableFull &+= 1
      return
    }
    guard gap.pointee.isReported || now &- gap.pointee.since >= configuration.gapTimeout,
      inputIsDry || counters.received &- gap.pointee.mark >= UInt64(configuration.inputCapacity)
    else { return }
    guard standing != .none else { return declareUnheld(flow, flowID, next: next, upTo: upTo, now: now) }
    if gap.pointee.answers >= 2 {
      let missingUpTo = gap.pointee.missingUpTo
      let end = missingUpTo.isSeriallyBefore(upTo) ? missingUpTo : upTo
      return declareUnheld(flow, flowID, next: next, upTo: end, now: now)
    }
    guard repair.pacing.mayAsk(now: now, gapTimeout: configuration.gapTimeout),
      gap.pointee.asks == 0 || now &- gap.pointee.asked >= configuration.gapTimeout
    else { return }
    // Whatever else the flow lacks is likely to be as old; but the pendingList needs room for what comes behind the first gap.
    let head = flow.pointee.flowID == flowID ? flow.pointee.pending : 0
    let end = head == 0 ? upTo : pending.lastCounter(head)
    let before = repair.asking.count
    let most = pending.hasRoom(head) ? ReplicationConfiguration.repairRangesPerFlow : 1
    pending.holes(head, in: PacketRange(flowID: flowID, from: next, end: end)) { hole in
      guard repair.asking.count - before < most else { return }
      if repair.asking.add(hole) { counters.repair.wanted &+= UInt64(hole.count) }
    }
    guard repair.asking.count != before else {
      counters.repair.tableFull &+= 1
      return
    }
    gap.pointee.noteAsked(now: now)
  }

  /// Copies taken over, or kept while their group moved, that found no room in the pendingList are here, although nothing
  /// shows them.
  private mutating func declareUnheld(
    _ flow: UnsafeMutablePointer<FlowState<Function.State>>, _ flowID: UInt32, next: UInt32, upTo: UInt32, now: UInt64
  ) {
    let range = PacketRange(flowID: flowID, from: next, end: upTo)
    var end = backlog.count == 0 ? upTo : backlog.firstCounter(in: range)
    if gate.count > 0 { end = gate.firstCounter(in: PacketRange(flowID: flowID, from: next, end: end)) }
    guard end != next else { return }
    declareLost(flow, flowID, upTo: end, now: now)
  }

  /// R5: the flow goes on at `end`; the open batch's prepare says so. Waits for the next scan if there is no room.
  private mutating func declareLost(
    _ flow: UnsafeMutablePointer<FlowState<Function.State>>, _ flowID: UInt32, upTo end: UInt32, now: UInt64
  ) {
    // R11: both former owners have drained to the rule change, or are dead.
    guard !inherits(flowID) else {
      counters.migration.lossesDelayed &+= 1
      return
    }
    guard roomBesidesGate > 0, repair.mayDeclare else {
      counters.repair.noRoom &+= 1
      return
    }
    if copiesBeforeWrite {
      stageBase(flows.layout.index(flowID))
      updateRoomLimit()
    }
    if flow.pointee.flowID != flowID { begin(flowID, flow) }
    if openCount == 0 && repair.lostCount == 0 { batchOpened = now }
    let range = PacketRange(flowID: flowID, from: flow.pointee.next, end: end)
    var burst = begin()
    burst.note(flow)
    self.end(burst)
    flow.pointee.next = end
    repair.declare(range)
    counters.repair.lostRanges &+= 1
    counters.repair.lost &+= UInt64(range.count)
    if flow.pointee.pending != 0 { runPending(flow) }
  }

  /// Takeover: skips what a vote has bound lost (`SecondaryReplica.votedLostRange`), in the order in which it was bound and
  /// after the held copies below it were processed; the successor's first prepares say it again. False: no room now.
  public mutating func skipBoundLoss(_ range: PacketRange, now: UInt64) -> Bool {
    guard let next = expected(range.flowID), next &- range.from < range.count else { return true }
    let before = repair.lostDeclared
    declareLost(flows.entry(range.flowID), range.flowID, upTo: range.end, now: now)
    return repair.lostDeclared != before
  }
}
