import DEFTWire

// Flow groups at the secondary (R8, R11).
//
// | on | standing | does |
// |---|---|---|
// | `stage` (a batch of the stream) | open, foreign → staged | installs the entries; copies are held as usual |
// | `unstage` | staged → foreign | discards them |
// | the map names this pair | staged, foreign → thawing, open | holds what was kept |
// | the map has moved the group away | open → foreign | keeps the copies that no state clock covers, to be forwarded |
// | takeover, with entries staged | staged → foreign | discards them: the map has not named this pair |
extension SecondaryReplica {
  /// `thaw` and `takeForwarded` have to be polled.
  @inlinable @inline(__always)
  public var isMigrating: Bool { gate.isFiltering }

  /// The map has changed for a group; as `PrimaryReplica.learn`.
  public mutating func learn(_ assignment: GroupAssignment, group: Int) {
    guard assignment.version > gate.versions[group] else {
      counters.migration.stale &+= 1
      return
    }
    gate.versions[group] = assignment.version
    let isOurs = assignment.pair == Int(configuration.pair)
    gate.inherits[group] = isOurs && assignment.isInheriting
    if isOurs {
      guard !assignment.isMoving, [.staged, .foreign].contains(gate.standings[group]) else { return }
      counters.migration.joined &+= 1
      // A group without flows comes back without a `stage`.
      flows.finishClearing(group, &gate, to: initialState)
      gate.set(group, gate.count(of: group) == 0 ? .open : .thawing)
    } else if !assignment.isMoving, gate.standings[group] != .staged {
      leave(group)
    }
  }

  // MARK: leaving

  /// Its states are at another pair, and everything that was processed is covered by an applied state clock: what is not
  /// covered was not processed, and this replica may be the only one to have it.
  private mutating func leave(_ group: Int) {
    guard gate.standings[group] != .foreign else { return }
    gate.set(group, .foreign)
    var position = heldHead
    while position != heldTail {
      let place = Int(position & heldMask)
      position &+= 1
      guard gate.group(held[place].flowID) == group, !isCovered(held[place]) else { continue }
      keep(held[place].packet, group)
      // No flow's: taken out below.
      held[place].flowID = 0
    }
    closeRanks()
    forgetPending(group)
    gate.beginClearing(group, entries: flows.indexCount(ofGroup: group, of: gate.groupCount))
    mayFree = true
  }

  /// Takes what has become no flow's out of the hold; the rest keeps its order.
  private mutating func closeRanks() {
    var place = heldTail
    var position = heldTail
    var oldCount = 0
    while position != heldHead {
      position &-= 1
      let copy = held[Int(position & heldMask)]
      guard copy.flowID != 0 else { continue }
      if position < repair.oldTail { oldCount += 1 }
      place &-= 1
      held[Int(place & heldMask)] = copy
    }
    heldHead = place
    repair.sorted(old: oldCount, from: place)
  }

  /// The copies themselves are kept, and go.
  private mutating func forgetPending(_ group: Int) {
    guard pending.count > 0 else { return }
    for node in 1...pending.usedNodes {
      guard let packet = pending.packet(at: node), gate.group(packet.pointee.flowID) == group else { continue }
      let flow = flows.entry(packet.pointee.flowID)
      while flow.pointee.pending != 0 { _ = pending.removeFirst(&flow.pointee.pending) }
    }
  }

  private mutating func clear(_ group: Int) {
    forgetPending(group)
    flows.clear(group, of: gate.groupCount, to: initialState)
  }

  private mutating func keep(_ packet: Packet, _ group: Int) {
    gate.append(packet, group)
    counters.migration.kept &+= 1
  }

  /// `hold` while some group is not open.
  @inline(never)
  @usableFromInline
  mutating func holdGated(
    _ packets: UnsafePointer<Packet>, count: Int, unwanted: UnsafeMutablePointer<Packet>
  ) -> Int {
    var (done, unwantedCount) = (0, 0)
    while done < count {
      let end = min(count, done + GroupGate.scratchCapacity)
      var open = 0
      for index in done..<end {
        let group = gate.group(packets[index].pointee.flowID)
        switch gate.standings[group] {
        case .open, .staged, .thawing:
          gate.scratch[open] = packets[index]
          open += 1
        case .foreign, .frozen:
          keep(packets[index], group)
          counters.received &+= 1
        }
      }
      if open > 0 { unwantedCount += holdOpen(gate.scratch, count: open, unwanted: unwanted + unwantedCount) }
      done = end
    }
    return unwantedCount
  }

  /// Holds what was kept of groups that are this pair's (again): late copies, of which any may find no room. Copies that are not wanted are put into `unwanted`; the
  /// caller gives up the secondary's reference of each. Returns how many.
  public mutating func thaw(unwanted: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    if gate.unclearedCount > 0 { flows.continueClearing(&gate, to: initialState) }
    guard gate.isFiltering else { return 0 }
    var count = 0
    for group in 0..<gate.groupCount where gate.standings[group] == .thawing {
      var turns = gate.count(of: group)
      while turns > 0, count < capacity {
        turns -= 1
        var packet = gate.removeFirst(group)
        let isRefused = holdOpen(&packet, count: 1, unwanted: unwanted + count) == 1
        counters.received &-= 1
        if isRefused { count += 1 } else { counters.migration.thawed &+= 1 }
      }
      if gate.count(of: group) == 0 { gate.set(group, .open) }
    }
    return count
  }

  /// R8: as `PrimaryReplica.takeForwarded`. References: each comes with the secondary's one. A new owner's primary needs two,
  /// its secondary one, so **the caller adds two** before it sends one packet to both.
  public mutating func takeForwarded(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    guard gate.foreignCount > 0 else { return 0 }
    let count = gate.takeForeign(into: packets, capacity: capacity)
    counters.migration.forwarded &+= UInt64(count)
    return count
  }

  public var forwardableCount: Int { gate.foreignCount }
  /// Packets of a group that are kept here; as `PrimaryReplica.keptCount`.
  public func keptCount(of group: Int) -> Int { gate.count(of: group) }
  public var keptCount: Int { gate.count }

  // MARK: staging

  /// A batch without packets: entries of a group that may become the pair's, or word that they do not.
  mutating func stage(_ header: ControlMessageHeader, _ body: UnsafeRawPointer) {
    guard header.batch > preparedBatch else {
      counters.repeatedMessages &+= 1
      return
    }
    let part = MoveHeader(reading: body)
    let entryBytes = ReplicationConfiguration.stateEntryBytes(stateSize: MemoryLayout<State>.size)
    let isStage = header.kind == ControlMessageHeader.Kind.stage.rawValue
    guard header.batch == preparedBatch + 1, preparedBatch - votedBatch < UInt64(configuration.window),
      Int(part.group) < gate.groupCount, !isStage || Int(header.detail) == entryBytes
    else {
      counters.impossibleMessages &+= 1
      return
    }
    notePrepared(header.batch)
    let group = Int(part.group)
    guard isStage else {
      guard gate.standings[group] == .staged else { return }
      clear(group)
      return gate.set(group, .foreign)
    }
    if gate.standings[group] != .staged {
      flows.finishClearing(group, &gate, to: initialState)
      gate.set(group, .staged)
    }
    for index in 0..<Int(header.count) { install(body + MoveHeader.byteCount + index * entryBytes) }
  }

  private mutating func install(_ bytes: UnsafeRawPointer) {
    let entry = StateEntry(reading: bytes)
    let index = flows.layout.index(entry.flowID)
    let flow = flows[index]
    let before = flow.pointee
    guard entry.flowID != 0,
      before.flowID == entry.flowID || before.flowID == 0
        || flows.layout.isLater(entry.flowID, than: before.flowID)
    else {
      counters.impossibleMessages &+= 1
      return
    }
    if before.flowID == 0 { counters.migration.entriesStaged &+= 1 } else { counters.migration.entriesRestaged &+= 1 }
    // Copies that came early are held; that they are here in order counts, what was pending is asked for again.
    while flow.pointee.pending != 0 { _ = pending.removeFirst(&flow.pointee.pending) }
    flow.pointee.install(entry, (bytes + StateEntry.byteCount).loadUnaligned(as: State.self))
    if before.flowID == entry.flowID, entry.next.isSeriallyBefore(before.next) { flow.pointee.next = before.next }
    appliedNext[index] = entry.next
  }

  /// Takeover: the map has not named this pair, and the new epoch keeps it from doing so.
  mutating func discardStaged() {
    guard gate.stagedCount > 0 else { return }
    for group in 0..<gate.groupCount where gate.standings[group] == .staged {
      clear(group)
      gate.set(group, .foreign)
    }
  }
}
