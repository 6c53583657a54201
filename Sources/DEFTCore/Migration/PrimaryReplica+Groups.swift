import DEFTWire

// Flow groups at the primary (R8, R11; paper, V): which are processed, which are kept, which go to another pair.
//
// The map is the only truth: the shell gives each change of it, in the map's order, to every replica of the pairs concerned
// (`learn`), and what follows is here. A change of this pair's epoch ends its moves that are not committed by itself, for the
// map then refuses to commit them.
extension PrimaryReplica where Log: ~Copyable {
  /// Something of this file's has to be polled: `thaw`, `takeForwarded`, `continueMoves`, `answerMoves`.
  @inlinable @inline(__always)
  public var isMigrating: Bool { gate.isFiltering || hasMoves }

  /// The map has changed for a group; a new replica is told of every group that has ever moved. Of an earlier version than is
  /// known here: nothing happens, counted.
  public mutating func learn(_ assignment: GroupAssignment, group: Int) {
    precondition(configuration.isReplicated, "groups move between pairs with secondaries")
    guard assignment.version > gate.versions[group] else {
      counters.migration.stale &+= 1
      return
    }
    gate.versions[group] = assignment.version
    gate.inherits[group] = assignment.pair == pair && assignment.isInheriting
    // What is staged by an earlier attempt than this one is of no use.
    if let place = moves.incoming.firstIndex(where: { $0.group == group && $0.version < assignment.version }) {
      if assignment.pair == pair { join(place) } else { giveUp(place, isToldSecondary: true) }
    }
    if case .moving(let target, let sourceEpoch, let targetEpoch) = assignment.phase {
      guard assignment.pair == pair, sourceEpoch == configuration.epoch else { return }
      begin(group, assignment.version, target: target, targetEpoch: targetEpoch)
    } else if assignment.pair == pair {
      undo(group)
      if gate.standings[group] == .foreign { beginThaw(group) }
    } else if gate.standings[group] != .staged {
      // Also of a replica that is younger than the move: what comes late must not begin a flow here.
      leave(group)
    }
  }

  private var pair: Int { Int(configuration.pair) }

  // MARK: standings

  /// The group goes to another pair: first its states, while packets flow.
  private mutating func begin(_ group: Int, _ version: UInt32, target: Int, targetEpoch: UInt32) {
    guard standing == .inSync, !isSteppedDown, [.open, .thawing].contains(gate.standings[group]) else { return }
    guard !moves.outgoing.isFull else {
      counters.migration.noRoom &+= 1
      return
    }
    moves.outgoing.append(
      OutgoingMove(group: group, version: version, target: target, targetEpoch: targetEpoch, slot: moves.freeSlot))
    counters.migration.begun &+= 1
    noteMoves()
  }

  /// From now on the group's packets are kept, those that wait for their turn among them. Without room for these it goes on
  /// for now.
  mutating func freeze(_ place: Int) {
    let group = moves.outgoing[place].group
    guard pendingCount(of: group) <= gate.free else {
      counters.migration.noRoom &+= 1
      return
    }
    keepPending(group)
    gate.set(group, .frozen)
    moves.outgoing[place].phase = .draining
    moves.outgoing[place].end = tail
    moves.outgoing[place].lostEnd = repair.lostDeclared
    counters.migration.frozen &+= 1
    noteMoves()
    updateRoomLimit()
  }

  private func pendingCount(of group: Int) -> Int {
    guard pending.count > 0 else { return 0 }
    return (1...pending.usedNodes).count { node in
      pending.packet(at: node).map { gate.group($0.pointee.flowID) == group } ?? false
    }
  }

  /// The pendingLists of a frozen group are kept with what comes later: their new owner orders them.
  private mutating func keepPending(_ group: Int) {
    guard pending.count > 0 else { return }
    for node in 1...pending.usedNodes {
      guard let packet = pending.packet(at: node), gate.group(packet.pointee.flowID) == group else { continue }
      let flow = flows.entry(packet.pointee.flowID)
      while flow.pointee.pending != 0 { keep(pending.removeFirst(&flow.pointee.pending), group) }
    }
  }

  private mutating func keep(_ packet: Packet, _ group: Int) {
    gate.append(packet, group)
    counters.migration.kept &+= 1
  }

  /// The map: the group stays.
  private mutating func undo(_ group: Int) {
    guard let place = moves.outgoing.firstIndex(where: { $0.group == group }) else { return }
    moves.outgoing.remove(at: place)
    counters.migration.undone &+= 1
    if gate.standings[group] == .frozen { beginThaw(group) } else { noteMoves() }
  }

  /// What is kept comes first; with nothing kept the group is open at once.
  private mutating func beginThaw(_ group: Int) {
    flows.finishClearing(group, &gate, to: Function.initialState)
    gate.set(group, gate.count(of: group) == 0 ? .open : .thawing)
    noteMoves()
    updateRoomLimit()
  }

  /// The map: the group is another pair's. Its states are there; its packets that are here, and that still come, are to be
  /// forwarded.
  private mutating func leave(_ group: Int) {
    guard gate.standings[group] != .foreign else { return }
    if let place = moves.outgoing.firstIndex(where: { $0.group == group }) {
      moves.outgoing.remove(at: place)
      counters.migration.left &+= 1
    }
    gate.beginClearing(group, entries: flows.indexCount(ofGroup: group, of: gate.groupCount))
    gate.set(group, .foreign)
    noteMoves()
    updateRoomLimit()
  }

  /// The pair's epoch has changed, or the pair is not this replica's any more: moves that are not committed never will be.
  mutating func endMoves() {
    for place in 0..<moves.outgoing.count {
      counters.migration.undone &+= 1
      let group = moves.outgoing[place].group
      if gate.standings[group] == .frozen { gate.set(group, gate.count(of: group) == 0 ? .open : .thawing) }
    }
    moves.outgoing.removeAll()
    while moves.incoming.count > 0 { giveUp(0, isToldSecondary: false) }
    for group in 0..<gate.groupCount { moves.unstaged[group] = false }
    moves.unstagedCount = 0
    noteMoves()
  }

  mutating func noteMoves() {
    hasMoves = moves.outgoing.count + moves.incoming.count + moves.unstagedCount > 0
    moves.clockEnd = 0
    moves.lostEnd = 0
    for place in 0..<moves.outgoing.count where moves.outgoing[place].phase == .draining {
      moves.clockEnd = max(moves.clockEnd, moves.outgoing[place].end)
      moves.lostEnd = max(moves.lostEnd, moves.outgoing[place].lostEnd)
    }
  }

  /// A group drains: its last batch closes, and its state clock is taken, without waiting for more packets.
  @usableFromInline
  var wantsStateClock: Bool { clockedTail < moves.clockEnd || repair.lostClocked < moves.lostEnd }

  // MARK: packets

  /// Step 2 while some group is not open: packets of such groups are kept, unless the group thaws (counters order a flow's
  /// packets, whichever comes first).
  @inline(never)
  @usableFromInline
  mutating func processGated(
    _ packets: UnsafePointer<Packet>, count: Int, unwanted: UnsafeMutablePointer<Packet>, now: UInt64
  ) -> Int {
    var (done, unwantedCount) = (0, 0)
    while done < count {
      let end = min(count, done + GroupGate.scratchCapacity)
      var open = 0
      for index in done..<end {
        let group = gate.group(packets[index].pointee.flowID)
        if gate.standings[group].isProcessed {
          gate.scratch[open] = packets[index]
          open += 1
        } else {
          keep(packets[index], group)
          counters.received &+= 1
        }
      }
      if open > 0 {
        unwantedCount += processOpen(gate.scratch, count: open, unwanted: unwanted + unwantedCount, now: now)
      }
      done = end
    }
    updateRoomLimit()
    return unwantedCount
  }

  /// `room`, for what does not come out of the input: what is kept may be all that there is room for, and wait for just that.
  var roomBesidesGate: Int { roomLimit > 0 || mayProcess ? roomBesidesInput : 0 }

  /// How many packets that were forwarded to here may be taken now. Not `room`: that is 0 while what is kept of groups that are
  /// another pair's fills the gate, and two pairs that wait for each other to take it would wait for ever. But what comes
  /// before the map's word does has to be kept; that word waits for nothing here.
  public var forwardedRoom: Int {
    guard mayProcess else { return 0 }
    return gate.stagedCount > 0 ? min(roomBesidesInput, gate.free) : roomBesidesInput
  }

  /// As `process`, for packets that former owners have forwarded to here (R8), from a buffer of their own: `count` ≤
  /// `forwardedRoom`. Of a group that is another pair's by now (a double that came late) what finds no room is refused.
  public mutating func processForwarded(
    _ packets: UnsafePointer<Packet>, count: Int, unwanted: UnsafeMutablePointer<Packet>, now: UInt64
  ) -> Int {
    var unwantedCount = 0
    for index in 0..<count {
      var packet = packets[index]
      let group = gate.group(packet.pointee.flowID)
      if gate.standings[group].isProcessed {
        unwantedCount += processOpen(&packet, count: 1, unwanted: unwanted + unwantedCount, now: now)
        counters.received &-= 1
      } else if gate.free > 0 {
        keep(packet, group)
      } else {
        unwanted[unwantedCount] = packet
        unwantedCount += 1
        counters.migration.noRoom &+= 1
      }
    }
    updateRoomLimit()
    return unwantedCount
  }

  /// A packet that gap repair has brought, while some group is not open: what is kept may wait for it, so it comes first. nil:
  /// no room now; otherwise whether it was refused, and put into `unwanted`.
  mutating func processPastGate(_ packet: Packet, _ unwanted: UnsafeMutablePointer<Packet>, now: UInt64) -> Bool? {
    var packet = packet
    if gate.standing(packet.pointee.flowID).isProcessed {
      guard roomBesidesGate > 0 else { return nil }
      return processOpen(&packet, count: 1, unwanted: unwanted, now: now) == 1
    }
    guard gate.free > 0 else { return nil }
    keep(packet, gate.group(packet.pointee.flowID))
    // The caller takes it for one of the input.
    counters.received &+= 1
    updateRoomLimit()
    return false
  }

  /// Processes what was kept of groups that are this pair's (again), as far as there is room; to be called in every poll
  /// while `isMigrating`. Packets that are not wanted are put into `unwanted`; the caller gives up the primary's and
  /// egress's reference of each. Returns how many.
  public mutating func thaw(unwanted: UnsafeMutablePointer<Packet>, capacity: Int, now: UInt64) -> Int {
    if gate.unclearedCount > 0 { flows.continueClearing(&gate, to: Function.initialState) }
    guard gate.isFiltering, mayProcess else { return 0 }
    var count = 0
    for group in 0..<gate.groupCount where gate.standings[group] == .thawing {
      // One that finds no room in the pendingList waits for another turn, behind the others; but not if the input would wait
      // for it in turn: then it goes the way of any packet that finds none.
      var turns = gate.count(of: group)
      while turns > 0, count < capacity, roomBesidesInput > 0 {
        turns -= 1
        let isFull = gate.free == 0
        var packet = gate.removeFirst(group)
        let fullBefore = counters.pendingFull
        let isRefused = processOpen(&packet, count: 1, unwanted: unwanted + count, now: now) == 1
        counters.received &-= 1
        if !isRefused {
          counters.migration.thawed &+= 1
        } else if counters.pendingFull != fullBefore, !isFull {
          gate.append(packet, group)
        } else {
          if counters.pendingFull != fullBefore { counters.migration.noRoom &+= 1 }
          count += 1
        }
      }
      if gate.count(of: group) == 0 { gate.set(group, .open) }
    }
    updateRoomLimit()
    return count
  }

  /// R8: takes out up to `capacity` packets of groups that are another pair's by now, oldest first within each group, to be
  /// sent to both replicas of that pair, past the stampers. Returns how many. A replica that was told to step down goes on
  /// with it.
  ///
  /// References: each comes with the primary's and egress's. A new owner's primary needs two, its secondary one, so **the
  /// caller adds one** before it sends one packet to both.
  public mutating func takeForwarded(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    guard gate.foreignCount > 0 else { return 0 }
    let count = gate.takeForeign(into: packets, capacity: capacity)
    counters.migration.forwarded &+= UInt64(count)
    updateRoomLimit()
    return count
  }

  /// Packets that `takeForwarded` would give out.
  public var forwardableCount: Int { gate.foreignCount }
  /// Packets of a group that are kept here. Once what was sent here before the switch's rule changed has been taken from the
  /// input, and this is 0, the former owner has drained (`GroupTransition.drained`).
  public func keptCount(of group: Int) -> Int { gate.count(of: group) }
  /// Packets kept, of all groups; and the most that ever were.
  public var keptCount: Int { gate.count }
  public var keptHighWater: Int { gate.highWater }
}

extension FlowStateTable {
  /// How many indices a group has.
  func indexCount(ofGroup group: Int, of groups: Int) -> Int { (layout.indexCount - group + groups - 1) / groups }

  /// Nothing is known of the group's flows any more.
  func clear(_ group: Int, of groups: Int, to state: State) {
    clear(group, of: groups, from: 0, to: indexCount(ofGroup: group, of: groups), state)
  }

  private func clear(_ group: Int, of groups: Int, from: Int, to end: Int, _ state: State) {
    for place in from..<end {
      let index = group + place * groups
      guard self[index].pointee.flowID != 0 else { continue }
      precondition(!self[index].pointee.isInBatch, "a flow leaves that the open batch has touched")
      self[index].pointee = FlowState(beginning: 0, state)
    }
  }

  /// Entries cleared in one step.
  private static var clearingStep: Int { 128 }

  /// One step of clearing the groups that have left.
  func continueClearing(_ gate: inout GroupGate, to state: State) {
    guard let group = (0..<gate.groupCount).first(where: { gate.uncleared[$0] > 0 }) else { return }
    let left = Int(gate.uncleared[group])
    let end = max(0, left - FlowStateTable.clearingStep)
    clear(group, of: gate.groupCount, from: end, to: left, state)
    gate.uncleared[group] = UInt32(end)
    if end == 0 { gate.unclearedCount -= 1 }
  }

  /// The group comes back before it was cleared.
  func finishClearing(_ group: Int, _ gate: inout GroupGate, to state: State) {
    guard gate.uncleared[group] > 0 else { return }
    clear(group, of: gate.groupCount, from: 0, to: Int(gate.uncleared[group]), state)
    gate.uncleared[group] = 0
    gate.unclearedCount -= 1
  }
}

extension GroupGate {
  mutating func beginClearing(_ group: Int, entries: Int) {
    guard entries > 0, uncleared[group] == 0 else { return }
    uncleared[group] = UInt32(entries)
    unclearedCount += 1
  }
}
