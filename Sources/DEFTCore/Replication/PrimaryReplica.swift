import DEFTWire

/// The primary of a pair: orders the packets of each flow, runs the NF, keeps what it produced in the output buffer until
/// the secondary has voted, releases it, and sends the state once egress has it (paper, IV-B to IV-D). Pure: packets,
/// messages and time are arguments. Owned by one lcore.
///
/// Every packet that was processed lies in one ring, in processing order; five positions move over it, never past the one
/// to their right:
///
/// ```
///   freed ≤ … ≤ released ≤ voted ≤ closed ≤ tail
///   |--- kept for repair (R10) ---|- in flight -|- open batch -|
/// ```
///
/// | position | moves when | never |
/// |---|---|---|
/// | tail | a packet has gone through the NF | while `window` batches are in flight |
/// | closed | the open batch is closed: a Prepare is in the log | with no room in the log |
/// | voted | a Vote arrives | past `closed`; by a vote of another epoch |
/// | released | egress took the packet | past `voted` |
/// | freed | the state clock that covers the packet was sent | before egress acknowledged what it covers (R2) |
///
/// What differs from the paper: processing goes on while up to `window` batches are in flight; state clocks are cumulative
/// over several batches; a batch also closes when the input runs dry or after `flushInterval`.
public struct PrimaryReplica<Function: NetworkFunction, Storage: PacketStorage, Log: MessageLog & ~Copyable>: ~Copyable {
  @usableFromInline let function: Function
  /// Its epoch is the replica's: it changes when the map does (B4).
  public internal(set) var configuration: ReplicationConfiguration
  @usableFromInline let flows: FlowStateTable<Function.State>
  @usableFromInline var pending: PendingList
  /// Packet clocks and state clocks, on their way to the secondary.
  @usableFromInline var prepares: Log
  @usableFromInline var commits: Log

  /// The output buffer: packet addresses, bit 0 set on those that the NF dropped. Of `retained` packets; after a takeover
  /// more than were taken over.
  @usableFromInline let output: UnsafeMutablePointer<UInt>
  @usableFromInline let outputMask: UInt64
  @usableFromInline var freed: UInt64 = 0
  @usableFromInline var freeable: UInt64 = 0
  @usableFromInline var released: UInt64 = 0
  @usableFromInline var voted: UInt64 = 0
  @usableFromInline var closed: UInt64 = 0
  @usableFromInline var tail: UInt64 = 0

  /// Flows touched by the open batch, and since the last state clock.
  @usableFromInline let batchFlows: UnsafeMutablePointer<UInt32>
  @usableFromInline var batchFlowCount = 0
  @usableFromInline let clockFlows: UnsafeMutablePointer<UInt32>
  @usableFromInline var clockFlowCount = 0

  /// Batches in flight, by number.
  @frozen @usableFromInline
  struct Batch {
    @usableFromInline var end: UInt64
    @usableFromInline var prepareEnd: UInt64
  }
  @usableFromInline let batches: UnsafeMutablePointer<Batch>
  @usableFromInline let batchMask: UInt64
  @usableFromInline var closedBatch: UInt64 = 0
  @usableFromInline var votedBatch: UInt64 = 0
  @usableFromInline var batchOpened: UInt64 = 0
  @usableFromInline var lastBatchWasFull = false

  /// State clocks taken, by sequence: those not sent wait for egress, the others for the secondary.
  @frozen @usableFromInline
  struct StateClock {
    @usableFromInline var batch: UInt64
    @usableFromInline var end: UInt64
    /// Packets passed up to `end`: what egress must have acknowledged.
    @usableFromInline var passed: UInt64
    @usableFromInline var logEnd: UInt64
    /// Ranges declared lost up to `batch`.
    @usableFromInline var lostRanges: UInt64
  }
  @usableFromInline static var stateClockCapacity: UInt64 { 64 }
  @usableFromInline let stateClocks: UnsafeMutablePointer<StateClock>
  @usableFromInline var clocksTaken: UInt64 = 0
  @usableFromInline var clocksSent: UInt64 = 0
  @usableFromInline var clocksApplied: UInt64 = 0
  /// `tail` and time of the last state clock.
  @usableFromInline var clockedTail: UInt64 = 0
  @usableFromInline var clockedTime: UInt64 = 0
  /// Passed packets up to `tail`.
  @usableFromInline var passed: UInt64 = 0

  /// Closed flows whose slot the stamper gets back: when the state clock that covers `position` was applied, or without a
  /// secondary when egress has acknowledged `passed` packets.
  @usableFromInline let closes: UnsafeMutablePointer<(flowID: UInt32, position: UInt64, passed: UInt64)>
  @usableFromInline let closeMask: UInt64
  @usableFromInline var closesHead: UInt64 = 0
  @usableFromInline var closesTail: UInt64 = 0
  /// Position up to which the state clocks have been applied by the secondary.
  @usableFromInline var applied: UInt64 = 0
  /// Packets that egress has acknowledged.
  @usableFromInline var acknowledgedCount: UInt64 = 0
  /// Passed packets among those freed.
  @usableFromInline var freedPassed: UInt64 = 0
  var retransmission = RetransmissionTimer()
  /// R12: what the present egress has been told.
  var telling = EgressTelling()
  @usableFromInline var isTelling = false
  /// Of one that began with nothing because both replicas were lost.
  var restarting = RestartState()

  /// What the map says of the secondary (R9). Without replication: `none`, for ever.
  public internal(set) var standing: SecondaryStanding
  /// What is closed is released without a vote, and counted (R7).
  var releasesUnvoted: Bool
  /// End of the last batch that the secondary has voted for, in this epoch.
  var votedEnd: UInt64 = 0
  /// The map has given the group to somebody else (B4); final.
  public internal(set) var isSteppedDown = false
  /// After that: packets of the output buffer from `released` up to here have been forwarded, or given back (R8).
  var forwardedEnd: UInt64 = 0
  /// Packets that may be taken from the input, besides the other bounds of `room`.
  @usableFromInline var roomLimit = Int.max
  var backlog = TakeoverBacklog<Function.State, Storage>()
  /// R5: losses that votes have bound and that this replica, as a successor, has still to skip.
  var inheritedLosses: UnsafeMutablePointer<PacketRange>?
  var inheritedLossCount = 0
  var snapshot: SnapshotState
  /// A sweep is under way: each burst writes the base entries of its flows first.
  @usableFromInline var copiesBeforeWrite = false

  /// Which flow groups are open, and what is kept of the others (R11).
  @usableFromInline var gate: GroupGate
  var moves: PrimaryMoves
  /// Moves are under way, or the secondary has to be told of one.
  @usableFromInline var hasMoves = false

  /// Gap repair: what is watched, asked for and lost.
  @usableFromInline var repair: PrimaryRepair
  public var counters = PrimaryCounters()

  /// - Parameter closeCapacity: close markers that can be in flight at most (all stamping units together).
  /// - Parameter hasSecondary: false: the map names none yet; the policy says what happens until one is in sync.
  public init(
    function: Function, configuration: ReplicationConfiguration, layout: FlowIDLayout, prepares: consuming Log,
    commits: consuming Log, closeCapacity: Int, hasSecondary: Bool = true, memory: TableMemory
  ) {
    self.init(
      function: function, configuration: configuration, flows: FlowStateTable(layout: layout, memory: memory),
      prepares: prepares, commits: commits, closeCapacity: closeCapacity, hasSecondary: hasSecondary,
      gate: GroupGate(
        groups: configuration.flowGroups, layout: layout, capacity: configuration.kept, memory: memory), memory: memory)
  }

  /// - Parameter copies: packets that it takes over, all of which the output buffer has room for.
  init(
    function: Function, configuration: ReplicationConfiguration, flows: FlowStateTable<Function.State>,
    prepares: consuming Log, commits: consuming Log, closeCapacity: Int, hasSecondary: Bool, copies: Int = 0,
    gate: consuming GroupGate, memory: TableMemory
  ) {
    precondition(configuration.retained & (configuration.retained - 1) == 0)
    precondition(configuration.retained >= 2 * (configuration.batch + configuration.pendingPerFlow))
    self.function = function
    self.configuration = configuration
    self.prepares = prepares
    self.commits = commits
    self.flows = flows
    snapshot = SnapshotState(
      configuration: configuration, layout: flows.layout,
      entryBytes: ReplicationConfiguration.stateEntryBytes(stateSize: MemoryLayout<Function.State>.size), memory: memory)
    standing = configuration.isReplicated && hasSecondary ? .inSync : .none
    releasesUnvoted = false
    pending = PendingList(capacity: configuration.pending, perFlowLimit: configuration.pendingPerFlow, memory: memory)
    func table<T>(_ count: Int, _ type: T.Type) -> UnsafeMutablePointer<T> {
      memory(count * MemoryLayout<T>.stride).bindMemory(to: type, capacity: count)
    }
    var outputCapacity = configuration.retained
    // One place more, for a loss is skipped only where there is room.
    while outputCapacity <= copies { outputCapacity *= 2 }
    output = table(outputCapacity, UInt.self)
    outputMask = UInt64(outputCapacity - 1)
    batchFlows = table(configuration.batchFlows, UInt32.self)
    repair = PrimaryRepair(configuration, memory: memory)
    clockFlows = table(configuration.stateClockFlows, UInt32.self)
    var batchCapacity = 1
    while batchCapacity < configuration.window + 1 { batchCapacity *= 2 }
    batches = table(batchCapacity, Batch.self)
    batchMask = UInt64(batchCapacity - 1)
    stateClocks = table(Int(Self.stateClockCapacity), StateClock.self)
    var closeSlots = 1
    while closeSlots < closeCapacity + 1 { closeSlots *= 2 }
    closes = table(closeSlots, (flowID: UInt32, position: UInt64, passed: UInt64).self)
    closeMask = UInt64(closeSlots - 1)
    self.gate = gate
    moves = PrimaryMoves(groups: configuration.flowGroups, layout: flows.layout, memory: memory)
    applyPolicy()
  }

  /// Batches sent and not voted for. Read by another thread it may be wrong, even negative, for the two numbers are not read at
  /// one time; it must not end the process then.
  @inlinable @inline(__always)
  public var batchesInFlight: Int { Int(truncatingIfNeeded: closedBatch &- votedBatch) }
  /// Packets in the open batch.
  @inlinable @inline(__always)
  public var openCount: Int { Int(tail - closed) }

  /// Step 1 of the paper: how many packets may be taken from the input buffer now. 0 while `window` batches are in flight,
  /// the open batch is full, or the output buffer is.
  @inlinable @inline(__always)
  public var room: Int {
    guard batchesInFlight < configuration.window else { return 0 }
    // Whatever is pending may fall due with the packets taken now; a single one frees no more than its own flow's list.
    let left = configuration.retained - Int(tail - freed)
    let free = max(left - pending.count, left > configuration.pendingPerFlow ? 1 : 0)
    return max(0, min(configuration.batch - openCount, free, configuration.stateClockFlows - clockFlowCount, roomLimit))
  }
  /// `room`, for packets that are here already and come before those of the input.
  var roomBesidesInput: Int {
    guard batchesInFlight < configuration.window else { return 0 }
    // What was voted for may be more than `retained`: the dead primary freed packets whose state clock has not come here.
    let capacity = backlog.phase == .voted ? Int(outputMask) + 1 : configuration.retained
    let left = capacity - Int(tail - freed)
    let free = max(left - pending.count, left > configuration.pendingPerFlow ? 1 : 0)
    // Not the variadic `min`: it makes an array.
    let open = min(configuration.batch - openCount, configuration.stateClockFlows - clockFlowCount)
    return max(0, min(open, min(free, baseRoom)))
  }

  // MARK: ordering (paper, IV-B)

  /// Step 2: orders `count` ≤ `room` packets and runs the NF on those whose turn it is. Packets that are not wanted
  /// (duplicates, stale ones) are put into `unwanted`, which has room for `count`; the caller gives up the primary's and
  /// egress's reference of each. Returns how many those are.
  @inlinable
  public mutating func process(
    _ packets: UnsafePointer<Packet>, count: Int, unwanted: UnsafeMutablePointer<Packet>, now: UInt64
  ) -> Int {
    if _slowPath(gate.isFiltering) { return processGated(packets, count: count, unwanted: unwanted, now: now) }
    return processOpen(packets, count: count, unwanted: unwanted, now: now)
  }

  /// Of groups that are open, or thaw.
  @inlinable @inline(__always)
  mutating func processOpen(
    _ packets: UnsafePointer<Packet>, count: Int, unwanted: UnsafeMutablePointer<Packet>, now: UInt64
  ) -> Int {
    if openCount == 0 { batchOpened = now }
    if _slowPath(copiesBeforeWrite) { copyBeforeWrite(packets, count: count) }
    for i in 0..<count { Storage.prefetch(flows.entry(packets[i].pointee.flowID)) }
    var unwantedCount = 0
    var burst = begin()
    for i in 0..<count {
      let packet = packets[i]
      let flow = burst.flows.entry(packet.pointee.flowID)
      if _fastPath(
        flow.nextStampWord() == packet.stampWord && flow.pointee.pending == 0 && !packet.pointee.layout.isCloseMarker)
      {
        burst.run(packet, flow, function)
      } else {
        end(burst)
        if !order(packet, flow) {
          unwanted[unwantedCount] = packet
          unwantedCount &+= 1
        }
        burst = begin()
      }
    }
    end(burst)
    // As in `SecondaryReplica.holdOpen`.
    var ahead = 0
    while ahead < count {
      Storage.prefetch(output + Int(truncatingIfNeeded: (tail &+ UInt64(truncatingIfNeeded: ahead)) & outputMask))
      ahead &+= 64 / MemoryLayout<UInt>.stride
    }
    counters.received &+= UInt64(count)
    return unwantedCount
  }

  /// The packet whose turn it is, whatever it is.
  @inlinable @inline(__always)
  mutating func run(_ packet: Packet, _ flow: UnsafeMutablePointer<FlowState<Function.State>>) {
    var burst = begin()
    if packet.pointee.layout.isCloseMarker {
      // The end of a flow has no time of its own: of a flow whose unit failed it may be stamped twice, by two clocks.
      let time = flow.pointee.time
      _ = burst.advance(packet, flow)
      flow.pointee.time = time
      close(packet, flow)
      burst.append(UInt(bitPattern: packet))
    } else {
      burst.run(packet, flow, function)
    }
    end(burst)
  }

  /// The flow's generation ends (R16). Its marker goes to egress like a passed packet, so that egress forgets the flow too.
  @inline(never)
  @usableFromInline
  mutating func close(_ packet: Packet, _ flow: UnsafeMutablePointer<FlowState<Function.State>>) {
    packet.pointee.previousPassed = flow.pointee.lastPassed
    flow.pointee.lastPassed = packet.pointee.counter
    flow.pointee.isClosed = true
    flow.pointee.state = Function.initialState
    passed &+= 1
    counters.closeMarkers &+= 1
    precondition(closesTail - closesHead <= closeMask, "more closes in flight than the stampers may have")
    closes[Int(closesTail & closeMask)] = (flow.pointee.flowID, tail, passed)
    closesTail &+= 1
  }

  /// The next packet of the flow may have been waiting.
  @inline(never)
  @usableFromInline
  mutating func runPending(_ flow: UnsafeMutablePointer<FlowState<Function.State>>) {
    while flow.pointee.pending != 0, pending.firstCounter(flow.pointee.pending) == flow.pointee.next {
      run(pending.removeFirst(&flow.pointee.pending), flow)
    }
  }

  /// A slot is stamped anew only after its last generation's close was committed: a later generation may begin at once.
  func mayBegin(_ flowID: UInt32, _ flow: UnsafeMutablePointer<FlowState<Function.State>>) -> Bool {
    flow.pointee.flowID == 0 || (flow.pointee.isClosed && flows.layout.isLater(flowID, than: flow.pointee.flowID))
  }

  mutating func begin(_ flowID: UInt32, _ flow: UnsafeMutablePointer<FlowState<Function.State>>) {
    let flags = flow.pointee
    flow.pointee = FlowState(beginning: flowID, Function.initialState)
    flow.pointee.isInBatch = flags.isInBatch
    flow.pointee.isInStateClock = flags.isInStateClock
  }

  /// Whatever is not simply the next packet of a flow in order. False: the packet is not wanted.
  @inline(never)
  @usableFromInline
  mutating func order(_ packet: Packet, _ flow: UnsafeMutablePointer<FlowState<Function.State>>) -> Bool {
    let flowID = packet.pointee.flowID
    let before = flow.pointee
    if flow.pointee.flowID != flowID {
      guard mayBegin(flowID, flow) else {
        counters.staleGeneration &+= 1
        if flow.pointee.isFloor { counters.lostGeneration &+= 1 }
        return false
      }
      begin(flowID, flow)
    }
    let ahead = packet.pointee.counter.serialDistance(from: flow.pointee.next)
    if ahead == 0 {
      run(packet, flow)
      if flow.pointee.pending != 0 { runPending(flow) }
      return true
    }
    guard ahead > 0 else {
      counters.duplicates &+= 1
      return false
    }
    guard ahead < counterWindow else {
      counters.outsideWindow &+= 1
      // A packet that is not kept begins no flow.
      if before.flowID != flowID { flow.pointee = before }
      return false
    }
    switch pending.insert(packet, counter: packet.pointee.counter, head: &flow.pointee.pending) {
    case .inserted:
      counters.reordered &+= 1
      return true
    case .duplicate:
      counters.duplicates &+= 1
    case .full:
      counters.pendingFull &+= 1
      if before.flowID != flowID { flow.pointee = before }
    }
    return false
  }

  /// Packets that wait for their turn.
  public var pendingCount: Int { pending.count }
  public var pendingHighWater: Int { pending.highWater }
  /// The most that ever waited of one flow.
  public var longestPending: Int { pending.longest }
}
