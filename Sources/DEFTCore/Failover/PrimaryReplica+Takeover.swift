import DEFTWire

// The secondary becomes the primary (paper, VI-A).
extension PrimaryReplica where Log: ~Copyable {
  /// Takes over from a primary that was declared dead. The flow states are those of the last state clock, and every packet
  /// behind it is among the copies, so what has to be mended is the flows that have copies: the cost is O(copies), never
  /// O(flows). The copies are then fed by `replay`, in the order of their arrival, through the ordinary ordering: what the
  /// dead primary released already is released again, and egress suppresses it (both of the paper's cases are one rule).
  ///
  /// References: each copy had the secondary's one; a primary's packets have two (its own and egress's). **The caller adds
  /// one reference to every copy that the secondary holds before this call** (`SecondaryReplica.forEachHeld`), and to every
  /// packet that still comes by the secondary's way afterwards. Copies that are covered already come back from `replay`.
  ///
  /// - Parameters:
  ///   - epoch: the map's; the secondary promises it first (R6).
  ///   - prepares, commits: not written before `beginSync`, which brings others.
  public init(
    takingOver secondary: consuming SecondaryReplica<Function.State, Storage>, epoch: UInt32, function: Function,
    prepares: consuming Log, commits: consuming Log, closeCapacity: Int, memory: TableMemory
  ) {
    precondition(secondary.isPromotable, "a secondary that has not finished its sync may lack what was voted (R9)")
    if secondary.configuration.epoch != epoch { secondary.promise(epoch: epoch) }
    secondary.discardStaged()
    let (flows, votedNext) = (secondary.flows, secondary.appliedNext)
    let (held, head, tail, mask) = (secondary.held, secondary.heldHead, secondary.heldTail, secondary.heldMask)
    var position = head
    while position != tail {
      if tail - position > 8 { Storage.prefetch(flows.entry(held[Int((position + 8) & mask)].flowID)) }
      let copy = held[Int(position & mask)]
      let flow = flows.entry(copy.flowID)
      if flow.pointee.flowID == copy.flowID {
        flow.pointee.next = votedNext[flows.layout.index(copy.flowID)]
        flow.pointee.pending = 0
      }
      position += 1
    }
    // R5: what votes have bound lost stays lost.
    let inheritedCount = secondary.votedLostCount
    let inheritedLosses = memory(max(1, inheritedCount) * MemoryLayout<PacketRange>.stride).bindMemory(
      to: PacketRange.self, capacity: max(1, inheritedCount))
    for index in 0..<inheritedCount { inheritedLosses[index] = secondary.votedLostRange(index) }
    // From here on the table of applied counters serves as that of voted ones.
    for position in 0..<secondary.clocks.count {
      let entry = secondary.clocks[position]
      let index = flows.layout.index(entry.flowID)
      if flows[index].pointee.flowID == entry.flowID, votedNext[index].isSeriallyBefore(entry.next) {
        votedNext[index] = entry.next
      }
    }
    let configuration = secondary.configuration
    self.init(
      function: function, configuration: configuration, flows: flows, prepares: prepares, commits: commits,
      closeCapacity: closeCapacity, hasSecondary: false, copies: Int(tail - head), gate: secondary.gate, memory: memory)
    backlog = TakeoverBacklog(copies: held, mask: mask, head: head, tail: tail, votedNext: votedNext)
    self.inheritedLosses = inheritedLosses
    inheritedLossCount = inheritedCount
    for index in 0..<secondary.repair.repairedCount { repair.repaired[index] = secondary.repair.repaired[index] }
    repair.repairedCount = secondary.repair.repairedCount
    repair.next = 0
    applyPolicy()
  }

  /// Copies that still wait to be processed, and bound losses that wait to be skipped.
  public var backlogCount: Int { backlog.count + inheritedLossCount }
  /// Everything that was voted for has been processed again, or skipped, and may be released.
  public var hasReplayedVoted: Bool { backlog.phase != .voted && inheritedLossCount == 0 }

  /// Feeds copies taken over, as many as there is room for; to be called in every poll, before packets of the input, while
  /// `backlogCount` is not 0. Those that are not wanted (covered by a state clock, or doubles) are put into `unwanted`; the
  /// caller gives up the primary's and egress's reference of each. Returns how many.
  ///
  /// What was voted for may be released at once. The rest waits for the policy: `hold` keeps it here until a sync begins.
  public mutating func replay(unwanted: UnsafeMutablePointer<Packet>, capacity: Int, now: UInt64) -> Int {
    guard backlog.count > 0 || backlog.phase != .stragglers || inheritedLossCount > 0, !isSteppedDown else { return 0 }
    var count = 0
    skipInheritedLosses(now: now)
    while count < capacity {
      if backlog.isAtEndOfPass {
        guard endPass(now: now) else { break }
        continue
      }
      let copy = backlog.current
      // R5: a copy that came before the vote which bound its loss. The dead primary has gone on without it.
      if inheritedLossCount > 0, isBoundLost(copy) {
        unwanted[count] = copy.packet
        count += 1
        backlog.drop()
        counters.repair.lateLost &+= 1
        continue
      }
      if backlog.phase == .voted {
        guard backlog.isVoted(copy, flows.layout) || isCovered(copy.flowID, copy.counter) else {
          backlog.keep()
          continue
        }
      } else if !mayReplayRest {
        break
      }
      // What is voted for fits, for the output buffer has room for every copy. It must not wait for an acknowledgement: a new
      // egress gives none before it was told where flows begin, which needs all of it (R12). A batch may have to be closed.
      if replayRoom == 0 {
        guard backlog.phase == .voted, tail != closed else { break }
        closeAlone(now: now)
        guard replayRoom > 0 else { break }
      }
      var packet = copy.packet
      let fullBefore = counters.pendingFull
      if process(&packet, count: 1, unwanted: unwanted + count, now: now) == 0 {
        backlog.drop()
        counters.replayed &+= 1
        if backlog.phase == .voted { counters.replayedVoted &+= 1 }
      } else if counters.pendingFull != fullBefore {
        // Nobody else may have it any more.
        backlog.keep()
      } else {
        backlog.drop()
        count += 1
      }
    }
    updateRoomLimit()
    return count
  }

  /// False: there is nothing (more) to do now.
  private mutating func endPass(now: UInt64) -> Bool {
    let isStuck = backlog.passStart == progress
    switch backlog.phase {
    case .voted:
      backlog.beginPass(at: progress)
      // Copies that found no room in the pendingList need another pass.
      guard !backlog.holdsVoted(flows.layout) else {
        skipInheritedLosses(now: now)
        return !isStuck || progress != backlog.passStart
      }
      // What comes behind a loss waits for it in the pendingList, and was voted for too.
      skipInheritedLosses(now: now)
      if tail != closed || repair.lostCount != 0 { closeAlone(now: now) }
      telling.inherited = passed
      backlog.phase = .rest
      return true
    case .rest:
      backlog.phase = .stragglers
      updateRoomLimit()
      return true
    case .stragglers:
      guard backlog.count > 0, !isStuck else { return false }
      backlog.beginPass(at: progress)
      return true
    }
  }

  /// Grows with all that can bring the turn of a copy: a packet processed, and a loss skipped.
  private var progress: UInt64 { tail &+ repair.lostDeclared }

  /// Skips the losses that flows have come to; the others wait until they do. Everything below them was voted for, so it
  /// is among the copies: the input waits meanwhile, or it could bring what is bound lost.
  private mutating func skipInheritedLosses(now: UInt64) {
    guard inheritedLossCount > 0 else { return }
    roomLimit = baseRoom
    defer { updateRoomLimit() }
    var kept = 0
    for index in 0..<inheritedLossCount {
      let range = inheritedLosses.unsafelyUnwrapped[index]
      let flow = flows.entry(range.flowID)
      let next = flow.pointee.flowID == range.flowID ? flow.pointee.next : Stamp.firstCounter
      let isPast =
        flow.pointee.flowID == range.flowID
        ? !next.isSeriallyBefore(range.end)
        : flow.pointee.flowID != 0 && flows.layout.isLater(flow.pointee.flowID, than: range.flowID)
      if isPast || (next &- range.from < range.count && skip(range, now: now)) { continue }
      inheritedLosses.unsafelyUnwrapped[kept] = range
      kept += 1
    }
    inheritedLossCount = kept
  }

  /// False: there is no room now.
  private mutating func skip(_ range: PacketRange, now: UInt64) -> Bool {
    if skipBoundLoss(range, now: now) { return true }
    guard backlog.phase == .voted else { return false }
    closeAlone(now: now)
    return skipBoundLoss(range, now: now)
  }

  private func isBoundLost(_ copy: TakeoverBacklog<Function.State, Storage>.Copy) -> Bool {
    for index in 0..<inheritedLossCount
    where inheritedLosses.unsafelyUnwrapped[index].contains(copy.flowID, copy.counter) { return true }
    return false
  }

  private func isCovered(_ flowID: UInt32, _ counter: UInt32) -> Bool {
    let flow = flows.entry(flowID)
    return flow.pointee.flowID != flowID || counter.isSeriallyBefore(flow.pointee.next)
  }

  private var mayReplayRest: Bool { standing != .none || releasesUnvoted }

  /// `room`, for the copies that were taken over. Those of a group that is another pair's by now need room elsewhere.
  private var replayRoom: Int { min(roomBesidesInput, gate.isFiltering ? gate.free : .max) }

  /// The close of `flowID` is committed, as far as this replica knows: a new primary may be asked for the flows whose slots
  /// the stamper has not got back, since the dead one may have died before it gave notice (R16).
  public func isCloseCommitted(_ flowID: UInt32) -> Bool {
    let flow = flows.entry(flowID)
    guard flow.pointee.flowID == flowID, flow.pointee.isClosed else { return false }
    var position = closesHead
    while position != closesTail {
      if closes[Int(position & closeMask)].flowID == flowID { return false }
      position &+= 1
    }
    return true
  }
}
