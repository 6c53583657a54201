import DEFTWire

// Gap repair at the secondary (R4, R5, R10, B3). Nothing here runs per packet.
//
// | what | when | does |
// |---|---|---|
// | a prepare waits for packets | `gapTimeout`, and what was in the input buffer has been taken | asks the primary, again after each `gapTimeout` |
// | a copy that no applied clock covers | `gapTimeout` | reports its flow, again after each `gapTimeout`; the primary knows whether it lacks anything |
// | the primary asks | copy held | sends it |
// | the primary asks | not held, and what was in the input buffer when it asked has been taken | says so |
// | a prepare declares ranges lost | at once | may hold the batch without them |
// | a vote for it | – | they are bound: skipped, late copies given back |
//
// A copy that comes before that vote is held, and what is declared lost is skipped in counting what is here: a takeover
// counts anew from the last applied clock.
//
// Prohibited: saying "not held" of a copy that is here or may lie in the input buffer; giving back a copy because of a range
// that no vote has bound.
extension SecondaryReplica {
  /// `repairGaps` wants to be called when this time has come; to be compared at every poll.
  @inlinable @inline(__always)
  public var nextRepair: UInt64 { repair.next }
  /// Packets that gap repair has brought and that wait for room.
  public var repairedWaiting: Int { repair.repairedCount }

  /// As `PrimaryReplica.repairGaps`; `log` goes to the primary, and the caller gives up the secondary's reference of what
  /// is in `unwanted`. `inputIsDry`: nothing was taken from the input buffer, be it empty or the hold full.
  public mutating func repairGaps<Out: MessageLog & ~Copyable>(
    now: UInt64, inputIsDry: Bool, into log: inout Out, unwanted: UnsafeMutablePointer<Packet>
  ) -> RepairOutcome {
    var outcome = RepairOutcome()
    outcome.unwanted = holdRepaired(unwanted)
    let isRetry = repair.retry
    repair.retry = false
    if ask(now: now, into: &log) { outcome.hasMail = true }
    if configuration.gapTimeout > 0, now >= repair.nextScan, !repair.mustAsk {
      scanWaiting(now: now, inputIsDry: inputIsDry)
      if ask(now: now, into: &log) { outcome.hasMail = true }
    }
    if repair.mustAsk {
      repair.retry = true
    } else if repair.wanted.count > 0 || isRetry {
      // What the log has no room for is forgotten, and asked for again: each kind of answer goes first every other time.
      repair.deniesFirst.toggle()
      let isDenied = repair.deniesFirst && denyUnheld(inputIsDry: inputIsDry, into: &log)
      let isSent = sendWanted(into: &log)
      let isDeniedNow = !repair.deniesFirst && denyUnheld(inputIsDry: inputIsDry, into: &log)
      outcome.hasMail = outcome.hasMail || isDenied || isSent || isDeniedNow
    }
    if configuration.gapTimeout > 0, now >= repair.nextScan {
      repair.nextScan = now + configuration.scanInterval
      if !repair.mustAsk, scanHeld(now: now, into: &log) { outcome.hasMail = true }
    }
    let isWaiting = repair.repairedCount > 0 || (repair.wanted.count > 0 && configuration.gapTimeout == 0)
    repair.next = isWaiting ? 0 : configuration.gapTimeout > 0 ? repair.nextScan : .max
    if repair.retry { repair.next = min(repair.next, now + configuration.gapTimeout / 16) }
    return outcome
  }

  // MARK: messages

  /// What the primary says about gaps. The lengths have been checked.
  @usableFromInline
  mutating func receiveRepair(_ header: ControlMessageHeader, _ body: UnsafeRawPointer, _ make: PacketMaker) {
    guard ControlMessageHeader.Kind(rawValue: header.kind) == .want else {
      repair.pacing.noteAnswer(header.batch)
      return take(
        PacketImage(reading: body),
        UnsafeRawBufferPointer(start: body + PacketImage.byteCount, count: Int(header.count)), make)
    }
    repair.asked = header.batch
    for index in 0..<Int(header.count) {
      let range = PacketRange(reading: body + index * PacketRange.byteCount)
      guard range.isPlausible else {
        counters.impossibleMessages &+= 1
        return
      }
      if !repair.wanted.add(range, mark: counters.received) { counters.repair.tableFull &+= 1 }
      repair.serve(range)
    }
    repair.next = 0
  }

  private mutating func take(_ image: PacketImage, _ frame: UnsafeRawBufferPointer, _ make: PacketMaker) {
    guard let next = expected(image.flowID), next.serialDistance(from: image.counter) <= 0 else {
      counters.repair.needless &+= 1
      return
    }
    guard repair.repairedCount < ReplicationConfiguration.repairBurst else {
      counters.repair.noRoom &+= 1
      return
    }
    let metadata = PacketMetadata(
      time: image.time, flowID: image.flowID, counter: image.counter, layout: image.layout)
    guard let packet = make(metadata, frame, 1) else {
      counters.repair.poolEmpty &+= 1
      return
    }
    repair.repaired[repair.repairedCount] = packet
    repair.repairedCount += 1
    repair.next = 0
    counters.repair.taken &+= 1
  }

  private mutating func holdRepaired(_ unwanted: UnsafeMutablePointer<Packet>) -> Int {
    let count = min(repair.repairedCount, configuration.longestHold - heldCount)
    guard count > 0 else { return 0 }
    let repaired = repair.repaired
    let unwantedCount = hold(repaired, count: count, unwanted: unwanted)
    // They did not come out of the input buffer.
    counters.received &-= UInt64(count)
    for index in count..<repair.repairedCount { repaired[index - count] = repaired[index] }
    repair.repairedCount -= count
    return unwantedCount
  }

  /// Up to which counter all of a flow is here; nil if the flow ID is of a generation that is over.
  private func expected(_ flowID: UInt32) -> UInt32? {
    guard flowID != 0 else { return nil }
    let flow = flows.entry(flowID)
    if flow.pointee.flowID == flowID { return flow.pointee.next }
    return mayBegin(flowID, flow) ? Stamp.firstCounter : nil
  }

  /// Head of the flow's pendingList; 0 if the flow has not begun.
  private func pendingHead(_ flowID: UInt32) -> UInt32 {
    let flow = flows.entry(flowID)
    return flow.pointee.flowID == flowID ? flow.pointee.pending : 0
  }

  // MARK: for the primary

  /// R10: copies of what the primary lacks. First the first of each range, which lets a flow go on: the others may find no
  /// room in the log, or in the primary's pendingList.
  private mutating func sendWanted<Out: MessageLog & ~Copyable>(into log: inout Out) -> Bool {
    guard repair.serving.count > 0 else { return false }
    let before = counters.repair.sent
    if sendWanted(first: true, into: &log) {
      // The primary has what was sent, and asks again for the rest only.
      if !sendWanted(first: false, into: &log) { counters.repair.logFull &+= 1 }
      repair.served()
    } else {
      // They go once there is room: forgotten, they could find the log full of reports each time that they are asked for.
      counters.repair.logFull &+= 1
      repair.retry = true
    }
    return counters.repair.sent != before
  }

  private mutating func sendWanted<Out: MessageLog & ~Copyable>(first: Bool, into log: inout Out) -> Bool {
    let messages = configuration.messages(repair.asked)
    var position = heldHead
    while position != heldTail {
      let copy = held[Int(position & heldMask)]
      position &+= 1
      guard let index = repair.serving.index(copy.flowID, copy.counter),
        (repair.serving[index].from == copy.counter) == first
      else { continue }
      guard messages.mayCarry(copy.packet, in: Storage.self) else { continue }
      guard messages.send(copy.packet, in: Storage.self, into: &log) else { return false }
      counters.repair.sent &+= 1
      if first { repair.serving.advance(index, behind: copy.counter) }
    }
    return true
  }

  /// Says of what was asked for that it is not here, once nothing that came before the question can be in the input buffer.
  private mutating func denyUnheld<Out: MessageLog & ~Copyable>(inputIsDry: Bool, into log: inout Out) -> Bool {
    repair.denied.removeAll()
    let (received, capacity) = (counters.received, UInt64(configuration.inputCapacity))
    for index in 0..<repair.wanted.count {
      let range = repair.wanted[index]
      // R11: former owners may still bring it, behind what the input buffer had in it when the question came.
      guard !gate.inherits[gate.group(range.flowID)] else {
        repair.wanted.setMark(index, received)
        counters.migration.lossesDelayed &+= 1
        continue
      }
      // What is kept is about to be held, or forwarded.
      guard !gate.keeps(range.flowID) else { continue }
      guard inputIsDry || received &- repair.wanted.mark(index) >= capacity else { continue }
      guard let next = expected(range.flowID) else { continue }
      // Below `next` everything is here, or was.
      let from = next.isSeriallyBefore(range.from) ? range.from : next
      guard from.isSeriallyBefore(range.end) else { continue }
      let unseen = PacketRange(flowID: range.flowID, from: from, end: range.end)
      pending.holes(pendingHead(range.flowID), in: unseen) { hole in
        if !repair.denied.add(hole) { counters.repair.tableFull &+= 1 }
      }
    }
    repair.wanted.keep { _, mark in !inputIsDry && received &- mark < capacity }
    guard repair.denied.count > 0 else { return false }
    guard configuration.messages(repair.asked).send(.missing, repair.denied, into: &log) else {
      counters.repair.logFull &+= 1
      return false
    }
    counters.repair.missing &+= UInt64(repair.denied.count)
    return true
  }

  // MARK: scans

  /// Waiting entries looked at in one scan, and copies.
  private static var scanLimit: UInt64 { 4096 }

  /// Looks for what prepares have waited for too long.
  private mutating func scanWaiting(now: UInt64, inputIsDry: Bool) {
    repair.gaps.beginScan()
    repair.asking.removeAll()
    var position = waitingHead
    while position != waitingTail, position - waitingHead < Self.scanLimit {
      let entry = waiting[Int(position & waitingMask)]
      position &+= 1
      if !holds(entry) { look(at: entry, now: now, inputIsDry: inputIsDry) }
    }
  }

  /// Asks for what the last scan has found. A question that finds no room goes as soon as there is some, and nothing else
  /// before it: a vote waits for it, and what the primary asks for finds no place there before the vote. Behind the answers
  /// it would wait for ever.
  private mutating func ask<Out: MessageLog & ~Copyable>(now: UInt64, into log: inout Out) -> Bool {
    guard repair.mustAsk else { return false }
    guard configuration.messages(repair.pacing.question + 1).sendFirst(.want, repair.asking, into: &log) else {
      counters.repair.logFull &+= 1
      return false
    }
    repair.asking.removeAll()
    repair.pacing.noteAsked(now: now)
    return true
  }

  private mutating func look(at entry: ClockEntry, now: UInt64, inputIsDry: Bool) {
    guard let next = expected(entry.flowID), next.isSeriallyBefore(entry.next) else { return }
    guard
      let gap = repair.gaps.track(
        entry.flowID, next: next, upTo: entry.next, since: now, mark: counters.received)
    else {
      counters.repair.tableFull &+= 1
      return
    }
    guard now &- gap.pointee.since >= configuration.gapTimeout,
      repair.pacing.mayAsk(now: now, gapTimeout: configuration.gapTimeout),
      inputIsDry || counters.received &- gap.pointee.mark >= UInt64(configuration.inputCapacity),
      gap.pointee.asks == 0 || now &- gap.pointee.asked >= configuration.gapTimeout
    else { return }
    let before = repair.asking.count
    let range = PacketRange(flowID: entry.flowID, from: next, end: entry.next)
    lost.lacking(range, in: pending, pendingHead(entry.flowID)) { hole in
      guard repair.asking.count - before < ReplicationConfiguration.repairRangesPerFlow else { return }
      if repair.asking.add(hole) {
        counters.repair.wanted &+= UInt64(hole.count)
      } else {
        counters.repair.tableFull &+= 1
      }
    }
    if repair.asking.count != before { gap.pointee.noteAsked(now: now) }
  }

  /// R4: reports flows with copies that have been here for a `gapTimeout` and that no state clock covers.
  private mutating func scanHeld<Out: MessageLog & ~Copyable>(now: UInt64, into log: inout Out) -> Bool {
    guard now &- repair.oldTime >= configuration.gapTimeout else { return false }
    var position = heldHead
    let end = repair.oldTail
    (repair.oldTail, repair.oldTime) = (heldTail, now)
    // An older scan's place, and copies have been freed since beyond it.
    guard heldHead < end else { return false }
    repair.uncovered.beginScan()
    var count = 0
    while position != end, position - heldHead < Self.scanLimit, count < ReplicationConfiguration.repairRanges {
      let copy = held[Int(position & heldMask)]
      position &+= 1
      if !isCovered(copy) { count += note(uncovered: copy) }
    }
    return count > 0 && report(count, into: &log)
  }

  /// 1 if the flow is a new one in this scan.
  private mutating func note(uncovered copy: Copy) -> Int {
    let upTo = copy.counter &+ 1
    if let flow = repair.uncovered.find(copy.flowID), flow.pointee.scan == repair.uncovered.scan {
      if flow.pointee.upTo.isSeriallyBefore(upTo) { flow.pointee.upTo = upTo }
      return 0
    }
    guard repair.uncovered.track(copy.flowID, next: 0, upTo: upTo, since: 0, mark: 0) != nil else {
      counters.repair.tableFull &+= 1
      return 0
    }
    return 1
  }

  private mutating func report<Out: MessageLog & ~Copyable>(_ count: Int, into log: inout Out) -> Bool {
    let length = ControlMessageHeader.byteCount + count * ClockEntry.byteCount
    guard let message = log.reserve(length) else {
      counters.repair.logFull &+= 1
      return false
    }
    configuration.messages(0).write(.uncovered, count: count, length: length, to: message)
    var entry = message + ControlMessageHeader.byteCount
    for index in 0..<repair.uncovered.capacity {
      guard let flow = repair.uncovered.live(at: index), flow.pointee.scan == repair.uncovered.scan else { continue }
      ClockEntry(flowID: flow.pointee.flowID, next: flow.pointee.upTo).write(to: entry)
      entry += ClockEntry.byteCount
    }
    log.publish(through: log.append(length))
    counters.repair.uncovered &+= UInt64(count)
    return true
  }

  // MARK: what is lost (R5)

  /// What is declared lost counts as here. Were it only so from the vote on, a full pendingList could refuse the very packets
  /// behind it that the vote waits for. True if the flow goes on.
  mutating func skipLost(_ flow: UnsafeMutablePointer<FlowState<State>>) -> Bool {
    guard let range = lost.find(flow.pointee.flowID, flow.pointee.next, boundOnly: false) else { return false }
    flow.pointee.next = range.end
    return true
  }

  /// A copy of what is behind the flow's `next`. False: given back. One that is declared lost is kept until a vote binds
  /// its loss: should there be none, it is not lost (R5).
  mutating func isLateButHeld(_ packet: Packet) -> Bool {
    let (flowID, counter) = (packet.pointee.flowID, packet.pointee.counter)
    if isBoundLost(flowID, counter) {
      counters.repair.lateLost &+= 1
      return false
    }
    if lost.count > 0, lost.find(flowID, counter, boundOnly: false) != nil { return true }
    counters.duplicates &+= 1
    return false
  }

  /// As `holds`, with what is declared lost counted as held.
  func holdsBesideLost(_ entry: ClockEntry) -> Bool {
    guard let next = expected(entry.flowID) else { return false }
    guard next.isSeriallyBefore(entry.next) else { return true }
    var isHeld = true
    let range = PacketRange(flowID: entry.flowID, from: next, end: entry.next)
    lost.lacking(range, in: pending, pendingHead(entry.flowID)) { _ in isHeld = false }
    return isHeld
  }

  /// The vote for `batch` binds what its prepares declared lost.
  mutating func bindLost(through batch: UInt64) {
    while let range = lost.bindNext(through: batch) {
      let flow = flows.entry(range.flowID)
      if flow.pointee.flowID != range.flowID { begin(range.flowID, flow) }
      counters.repair.lostRanges &+= 1
      counters.repair.lost &+= UInt64(range.count)
      guard flow.pointee.next &- range.from < range.count else { continue }
      flow.pointee.next = range.end
      catchUp(flow)
    }
  }

  /// Takeover (R5): ranges that the votes have bound, oldest first. Binding: the successor skips them
  /// (`PrimaryReplica.skipBoundLoss`) and processes no held copy that lies in one (`isBoundLost`). What an unvoted prepare
  /// declared is not among them and is void.
  public var votedLostCount: Int { lost.boundCount }
  public func votedLostRange(_ index: Int) -> PacketRange {
    precondition(index < lost.boundCount)
    return lost[index]
  }
  /// A vote has bound this packet's loss.
  public func isBoundLost(_ flowID: UInt32, _ counter: UInt32) -> Bool {
    lost.boundCount > 0 && lost.find(flowID, counter, boundOnly: true) != nil
  }
  /// Takeover: forgets what only unvoted prepares declared lost.
  public mutating func voidUnvotedLosses() { lost.voidUnbound() }
}
