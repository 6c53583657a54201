import DEFTWire

/// The secondary of a pair: holds a copy of every packet until a state clock covers it, and votes for a batch only when it
/// holds every packet that the batch's packet clock covers (paper, IV-D). Pure. Owned by one lcore.
///
/// | on | does | never |
/// |---|---|---|
/// | packet | keeps it; knows per flow up to which counter it holds all | keeps a second copy of the same packet |
/// | prepare t | checks t = last + 1; votes once everything it covers is here | votes t before t−1, or without a packet |
/// | commit t | writes the states, frees the copies they cover | applies what it has not voted for, or twice |
///
/// A repeated message (a reconnection, R13) changes nothing; a gap in the batch numbers is refused.
public struct SecondaryReplica<State: BitwiseCopyable & Sendable, Storage: PacketStorage>: ~Copyable {
  /// Its epoch is the replica's: it changes when the map does (B4).
  public internal(set) var configuration: ReplicationConfiguration
  @usableFromInline let initialState: State
  /// `next` of an entry is the counter up to which all packets are here; everything else is as of the last state clock.
  @usableFromInline let flows: FlowStateTable<State>
  /// Per flow: `nextExpectedPktID` of the last state clock.
  @usableFromInline let appliedNext: UnsafeMutablePointer<UInt32>
  @usableFromInline var pending: PendingList

  /// A copy and its stamp, so that looking whether it is covered does not touch the packet.
  @frozen @usableFromInline
  struct Copy {
    @usableFromInline var packet: Packet
    @usableFromInline var flowID: UInt32
    @usableFromInline var counter: UInt32
    @inlinable @inline(__always)
    init(_ packet: Packet) {
      let word = packet.stampWord
      self.packet = packet
      flowID = UInt32(truncatingIfNeeded: word)
      counter = UInt32(truncatingIfNeeded: word >> 32)
    }
  }
  /// Copies, in order of arrival. What comes in leaves room for what gap repair brings: a vote may wait for that, and
  /// everything else for the vote.
  @usableFromInline let held: UnsafeMutablePointer<Copy>
  @usableFromInline let heldMask: UInt64
  @usableFromInline var heldHead: UInt64 = 0
  @usableFromInline var heldTail: UInt64 = 0
  /// False until a state clock came that may cover the oldest copy.
  @usableFromInline var mayFree = false
  /// The state clock after which the copies were last sorted.
  @usableFromInline var sortedBatch: UInt64 = 0

  /// What prepares still wait for: (flow, next), in order of the prepares.
  @usableFromInline let waiting: UnsafeMutablePointer<ClockEntry>
  @usableFromInline let waitingMask: UInt64
  @usableFromInline var waitingHead: UInt64 = 0
  @usableFromInline var waitingTail: UInt64 = 0
  /// Per batch prepared and not voted for: where its waiting entries end.
  @usableFromInline let waitingEnds: UnsafeMutablePointer<UInt64>
  @usableFromInline let waitingEndsMask: UInt64

  @usableFromInline var preparedBatch: UInt64 = 0
  /// The packet clocks of batches whose state has not come: what a takeover releases again.
  var clocks: ClockHistory
  public private(set) var votedBatch: UInt64 = 0
  /// The last batch whose prepare asked for a prompt vote.
  public private(set) var promptBatch: UInt64 = 0
  public private(set) var appliedBatch: UInt64 = 0

  /// R5: what prepares have declared lost, until a state clock covers it.
  @usableFromInline var lost: LostRanges
  /// Gap repair: what is watched and asked for.
  @usableFromInline var repair: SecondaryRepair
  /// Which flow groups are open, and what is kept of the others (R11).
  @usableFromInline var gate: GroupGate
  public var counters = SecondaryCounters()

  /// It has not got everything yet, and must not be promoted (R9).
  public internal(set) var isSyncing: Bool
  var snapshot = SnapshotProgress()

  /// - Parameter isSyncing: the replica begins with a snapshot of a primary that runs already; otherwise both begin empty.
  public init(
    initialState: State, configuration: ReplicationConfiguration, layout: FlowIDLayout, isSyncing: Bool = false,
    memory: TableMemory
  ) {
    self.isSyncing = isSyncing
    precondition(configuration.held & (configuration.held - 1) == 0)
    self.configuration = configuration
    self.initialState = initialState
    flows = FlowStateTable(layout: layout, memory: memory)
    pending = PendingList(capacity: configuration.pending, perFlowLimit: configuration.pendingPerFlow, memory: memory)
    func table<T>(_ count: Int, _ type: T.Type) -> UnsafeMutablePointer<T> {
      memory(count * MemoryLayout<T>.stride).bindMemory(to: type, capacity: count)
    }
    appliedNext = table(layout.indexCount, UInt32.self)
    held = table(configuration.holdCapacity, Copy.self)
    heldMask = UInt64(configuration.holdCapacity - 1)
    lost = LostRanges(capacity: configuration.lostRanges, memory: memory)
    repair = SecondaryRepair(configuration, memory: memory)
    gate = GroupGate(
      groups: configuration.flowGroups, layout: layout, capacity: configuration.longestHold, memory: memory)
    var entries = 1
    while entries < configuration.window * configuration.batchFlows { entries *= 2 }
    waiting = table(entries, ClockEntry.self)
    waitingMask = UInt64(entries - 1)
    var ends = 1
    while ends < configuration.window + 1 { ends *= 2 }
    waitingEnds = table(ends, UInt64.self)
    waitingEndsMask = UInt64(ends - 1)
    clocks = ClockHistory(configuration: configuration, memory: memory)
  }

  /// Copies held.
  @inlinable @inline(__always)
  public var heldCount: Int { Int(truncatingIfNeeded: heldTail &- heldHead) }
  /// How many copies may come in now.
  @inlinable @inline(__always)
  public var room: Int { max(0, configuration.held - heldCount - gate.count) }
  public var pendingCount: Int { pending.count }
  /// The most that ever waited of one flow.
  public var longestPending: Int { pending.longest }

  // MARK: copies

  /// Takes `count` ≤ `room` copies. Those that are not wanted are put into `unwanted` (room for `count`); the caller gives
  /// up the secondary's reference of each. Returns how many those are.
  @inlinable
  public mutating func hold(_ packets: UnsafePointer<Packet>, count: Int, unwanted: UnsafeMutablePointer<Packet>) -> Int {
    if _slowPath(gate.isFiltering) { return holdGated(packets, count: count, unwanted: unwanted) }
    return holdOpen(packets, count: count, unwanted: unwanted)
  }

  /// Of groups that are open, staged, or thaw.
  @inlinable @inline(__always)
  mutating func holdOpen(
    _ packets: UnsafePointer<Packet>, count: Int, unwanted: UnsafeMutablePointer<Packet>
  ) -> Int {
    var unwantedCount = 0
    // Local copies: as far as the compiler knows, what is written to a flow or a copy might be these.
    let (flows, held, mask) = (flows, held, heldMask)
    var tail = heldTail
    for i in 0..<count { Storage.prefetch(flows.entry(packets[i].pointee.flowID)) }
    for i in 0..<count {
      let packet = packets[i]
      let flow = flows.entry(packet.pointee.flowID)
      if _fastPath(flow.nextStampWord() == packet.stampWord && flow.pointee.pending == 0) {
        flow.goOn(after: packet.stampWord)
      } else if !order(packet, flow) {
        unwanted[unwantedCount] = packet
        unwantedCount &+= 1
        continue
      }
      held[Int(truncatingIfNeeded: tail & mask)] = Copy(packet)
      tail &+= 1
    }
    heldTail = tail
    // The table is larger than the caches: what the next burst writes is fetched meanwhile.
    var ahead = 0
    while ahead < count {
      Storage.prefetch(held + Int(truncatingIfNeeded: (tail &+ UInt64(truncatingIfNeeded: ahead)) & mask))
      ahead &+= 64 / MemoryLayout<Copy>.stride
    }
    counters.received &+= UInt64(count)
    counters.heldHighWater = max(counters.heldHighWater, UInt64(heldCount))
    return unwantedCount
  }

  @inline(never)
  @usableFromInline
  mutating func order(_ packet: Packet, _ flow: UnsafeMutablePointer<FlowState<State>>) -> Bool {
    let flowID = packet.pointee.flowID
    let (before, appliedBefore) = (flow.pointee, appliedNext[flows.layout.index(flowID)])
    if flow.pointee.flowID != flowID {
      guard mayBegin(flowID, flow) else {
        counters.staleGeneration &+= 1
        return false
      }
      begin(flowID, flow)
    }
    if lost.count > 0 { catchUp(flow) }
    let ahead = packet.pointee.counter.serialDistance(from: flow.pointee.next)
    guard ahead >= 0 else { return isLateButHeld(packet) }
    guard ahead < counterWindow else {
      counters.outsideWindow &+= 1
      restore(flow, before, appliedBefore)
      return false
    }
    if ahead == 0 {
      flow.pointee.next = packet.pointee.counter &+ 1
      catchUp(flow)
      return true
    }
    // The pendingList only remembers which counters are here; the copy itself is held like any other.
    switch pending.insert(packet, counter: packet.pointee.counter, head: &flow.pointee.pending) {
    case .inserted:
      counters.reordered &+= 1
      return true
    case .duplicate:
      counters.duplicates &+= 1
    case .full:
      counters.pendingFull &+= 1
      restore(flow, before, appliedBefore)
    }
    return false
  }

  /// A packet that is not kept begins no flow.
  private func restore(
    _ flow: UnsafeMutablePointer<FlowState<State>>, _ before: FlowState<State>, _ appliedBefore: UInt32
  ) {
    guard before.flowID != flow.pointee.flowID else { return }
    appliedNext[flows.layout.index(flow.pointee.flowID)] = appliedBefore
    flow.pointee = before
  }

  func mayBegin(_ flowID: UInt32, _ flow: UnsafeMutablePointer<FlowState<State>>) -> Bool {
    flow.pointee.flowID == 0 || (flow.pointee.isClosed && flows.layout.isLater(flowID, than: flow.pointee.flowID))
  }

  func begin(_ flowID: UInt32, _ flow: UnsafeMutablePointer<FlowState<State>>) {
    flow.pointee = FlowState(beginning: flowID, initialState)
    appliedNext[flows.layout.index(flowID)] = Stamp.firstCounter
  }

  /// Everything below `next` is here: so may be what comes next, or it is declared lost.
  mutating func catchUp(_ flow: UnsafeMutablePointer<FlowState<State>>) {
    repeat {
      while flow.pointee.pending != 0 {
        let ahead = pending.firstCounter(flow.pointee.pending).serialDistance(from: flow.pointee.next)
        guard ahead <= 0 else { break }
        _ = pending.removeFirst(&flow.pointee.pending)
        // Behind: a copy that came although it was declared lost.
        if ahead == 0 { flow.pointee.next &+= 1 }
      }
    } while lost.count > 0 && skipLost(flow)
  }

  // MARK: messages

  /// A message from the primary. The caller has checked its lengths. `make` makes a packet of what gap repair brings.
  public mutating func receive(_ message: UnsafeRawBufferPointer, make: PacketMaker = { _, _, _ in nil }) {
    let bytes = message.baseAddress.unsafelyUnwrapped
    let header = ControlMessageHeader(reading: bytes)
    guard header.epoch == configuration.epoch, header.pair == configuration.pair else {
      counters.staleEpochMessages &+= 1
      return
    }
    switch ControlMessageHeader.Kind(rawValue: header.kind) {
    case .prepare: prepare(header, bytes + ControlMessageHeader.byteCount)
    case .commit: commit(header, bytes + ControlMessageHeader.byteCount)
    case .base, .baseEnd: base(header, bytes + ControlMessageHeader.byteCount)
    case .stage, .unstage: stage(header, bytes + ControlMessageHeader.byteCount)
    case .want, .packet: receiveRepair(header, bytes + ControlMessageHeader.byteCount, make)
    default: counters.impossibleMessages &+= 1
    }
  }

  private mutating func prepare(_ header: ControlMessageHeader, _ entries: UnsafeRawPointer) {
    guard header.batch > preparedBatch else {
      counters.repeatedMessages &+= 1
      return
    }
    let count = Int(header.count)
    // R13: gaps are refused. A primary never has more than `window` batches in flight, so the tables below suffice.
    guard header.batch == preparedBatch + 1, preparedBatch - votedBatch < UInt64(configuration.window),
      UInt64(header.count) <= waitingMask + 1 - (waitingTail - waitingHead), Int(header.detail) <= lost.room,
      ClockEntry.areFlows(entries, count: count),
      (0..<Int(header.detail)).allSatisfy({ i in
        PacketRange(reading: entries + count * ClockEntry.byteCount + i * PacketRange.byteCount).isPlausible
      })
    else {
      counters.impossibleMessages &+= 1
      return
    }
    preparedBatch = header.batch
    counters.clocksForgotten &+= clocks.open(entries: count)
    if header.flags & ControlMessageHeader.promptVote != 0 { promptBatch = header.batch }
    clocks.append(entries, count: count)
    for i in 0..<count {
      let entry = ClockEntry(reading: entries + i &* ClockEntry.byteCount)
      if _slowPath(!holds(entry)) {
        waiting[Int(waitingTail & waitingMask)] = entry
        waitingTail &+= 1
      }
    }
    for i in 0..<Int(header.detail) {
      let place = entries + Int(header.count) * ClockEntry.byteCount + i * PacketRange.byteCount
      lost.append(PacketRange(reading: place), batch: preparedBatch)
    }
    waitingEnds[Int(preparedBatch & waitingEndsMask)] = waitingTail
    clocks.close(batch: preparedBatch)
    if waitingHead != waitingTail { counters.votesDelayed &+= 1 }
  }

  /// A batch without packets has come.
  mutating func notePrepared(_ batch: UInt64) {
    preparedBatch = batch
    promptBatch = batch
    counters.clocksForgotten &+= clocks.open(entries: 0)
    waitingEnds[Int(batch & waitingEndsMask)] = waitingTail
    clocks.close(batch: batch)
  }

  /// Every packet of the flow below `next` is here, or was applied with an earlier state clock.
  @inlinable @inline(__always)
  func holds(_ entry: ClockEntry) -> Bool {
    let flow = flows.entry(entry.flowID)
    return flow.pointee.flowID == entry.flowID && flow.pointee.next.isSeriallyAtLeast(entry.next)
  }

  /// Votes for what can be voted for now. True if there is a new vote to send.
  @inlinable
  public mutating func vote() -> Bool {
    guard votedBatch != preparedBatch else { return false }
    return voteWaiting()
  }

  @usableFromInline
  mutating func voteWaiting() -> Bool {
    while waitingHead != waitingTail {
      let entry = waiting[Int(waitingHead & waitingMask)]
      guard holds(entry) || (lost.count > 0 && holdsBesideLost(entry)) else { break }
      waitingHead &+= 1
    }
    let before = votedBatch
    while votedBatch != preparedBatch, waitingEnds[Int((votedBatch + 1) & waitingEndsMask)] <= waitingHead {
      votedBatch += 1
    }
    if lost.count > 0 { bindLost(through: votedBatch) }
    counters.votes &+= votedBatch - before
    return votedBatch != before
  }

  private mutating func commit(_ header: ControlMessageHeader, _ entries: UnsafeRawPointer) {
    guard header.batch > appliedBatch else {
      counters.repeatedMessages &+= 1
      return
    }
    let stateSize = MemoryLayout<State>.size
    let entryBytes = ReplicationConfiguration.stateEntryBytes(stateSize: stateSize)
    guard header.batch <= votedBatch, Int(header.detail) == entryBytes else {
      counters.impossibleMessages &+= 1
      return
    }
    let count = Int(header.count)
    for i in 0..<count {
      let bytes = entries + i * entryBytes
      if i + 4 < count {
        Storage.prefetch(bytes + 16 * entryBytes)
        Storage.prefetch(flows.entry(StateEntry(reading: bytes + 4 * entryBytes).flowID))
      }
      apply(StateEntry(reading: bytes), bytes + StateEntry.byteCount)
    }
    appliedBatch = header.batch
    clocks.forget(through: appliedBatch)
    if lost.count > 0 { lost.remove(through: appliedBatch) }
    mayFree = true
    counters.stateClocksApplied &+= 1
  }

  private mutating func apply(_ entry: StateEntry, _ state: UnsafeRawPointer) {
    let flow = flows.entry(entry.flowID)
    // The vote said that this generation's packets are here, so the entry is this generation's.
    guard flow.pointee.flowID == entry.flowID else {
      counters.impossibleMessages &+= 1
      return
    }
    flow.pointee.lastPassed = entry.lastPassed
    flow.pointee.time = entry.time
    flow.pointee.isClosed = entry.isClosed != 0
    flow.pointee.state = state.loadUnaligned(as: State.self)
    appliedNext[flows.layout.index(entry.flowID)] = entry.next
  }

  /// Takes up to `capacity` copies that a state clock covers, oldest first, into `packets`; the caller gives up the
  /// secondary's reference of each. Returns how many.
  @inlinable
  public mutating func takeFreed(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    guard mayFree || isCrowded else { return 0 }
    if !mayFree { sortCoveredFirst() }
    let (flows, appliedNext, held, mask) = (flows, appliedNext, held, heldMask)
    var position = heldHead
    let end = position &+ min(heldTail &- position, UInt64(truncatingIfNeeded: capacity))
    var count = 0
    while position != end {
      let copy = held[Int(truncatingIfNeeded: position & mask)]
      guard Self.isCovered(copy, flows, appliedNext) else {
        mayFree = false
        break
      }
      packets[count] = copy.packet
      count &+= 1
      position &+= 1
    }
    heldHead = position
    counters.freed &+= UInt64(truncatingIfNeeded: count)
    return count
  }

  /// More than three quarters full, and a state clock came since the copies were last sorted.
  @inlinable @inline(__always)
  var isCrowded: Bool { heldCount > configuration.held / 4 * 3 && sortedBatch != appliedBatch }

  /// Copies are freed from the oldest on, so one whose flow waits for something keeps those behind it. Before that fills the
  /// hold, what is covered is moved to the front; what is not keeps its order.
  @inline(never)
  @usableFromInline
  mutating func sortCoveredFirst() {
    sortedBatch = appliedBatch
    var place = heldTail
    var position = heldTail
    var oldCount = 0
    while position != heldHead {
      position &-= 1
      let copy = held[Int(position & heldMask)]
      guard !isCovered(copy) else { continue }
      if position < repair.oldTail { oldCount += 1 }
      place &-= 1
      held[Int(position & heldMask)] = held[Int(place & heldMask)]
      held[Int(place & heldMask)] = copy
    }
    repair.sorted(old: oldCount, from: place)
    mayFree = place != heldHead
    counters.sorted &+= 1
  }

  @inlinable @inline(__always)
  func isCovered(_ copy: Copy) -> Bool { Self.isCovered(copy, flows, appliedNext) }
  @inlinable @inline(__always)
  static func isCovered(
    _ copy: Copy, _ flows: FlowStateTable<State>, _ appliedNext: UnsafeMutablePointer<UInt32>
  ) -> Bool {
    let index = flows.layout.index(copy.flowID)
    // Another generation in the entry is a later one: the close of this copy's was committed.
    return copy.counter.isSeriallyBefore(appliedNext[index]) || flows[index].pointee.flowID != copy.flowID
  }
}
