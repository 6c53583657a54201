import DEFTWire

/// What a secondary knows of the snapshot that it is getting.
struct SnapshotProgress {
  /// Base messages applied, in order.
  var applied: UInt64 = 0
  /// The last batch prepared before the snapshot's end; nil: that has not come.
  var endBatch: UInt64?
  /// The primary is to be told (again).
  var isDue = false
  var saidComplete = false
}

// A secondary that begins with a snapshot (R9). It holds copies and votes from the beginning; only what it votes for does not
// count before the map says that it is in sync.
extension SecondaryReplica {
  /// Applies base entries in order; a repeated message changes nothing, but is answered again (R13).
  mutating func base(_ header: ControlMessageHeader, _ entries: UnsafeRawPointer) {
    guard isSyncing, header.batch <= snapshot.applied + 1 else {
      if isSyncing { counters.impossibleMessages &+= 1 } else { counters.repeatedMessages &+= 1 }
      return
    }
    snapshot.isDue = true
    guard header.batch == snapshot.applied + 1 else {
      snapshot.saidComplete = false
      counters.repeatedMessages &+= 1
      return
    }
    let entryBytes = ReplicationConfiguration.stateEntryBytes(stateSize: MemoryLayout<State>.size)
    guard Int(header.detail) == entryBytes else {
      counters.impossibleMessages &+= 1
      return
    }
    for i in 0..<Int(header.count) {
      let bytes = entries + i * entryBytes
      applyBase(StateEntry(reading: bytes), bytes + StateEntry.byteCount)
    }
    snapshot.applied = header.batch
    if header.kind == ControlMessageHeader.Kind.baseEnd.rawValue { snapshot.endBatch = preparedBatch }
    mayFree = true
  }

  private mutating func applyBase(_ entry: StateEntry, _ state: UnsafeRawPointer) {
    let index = flows.layout.index(entry.flowID)
    let flow = flows[index]
    guard entry.flowID != 0 else { return }
    if flow.pointee.flowID != entry.flowID {
      // Copies of a later generation are here: the one of the entry is closed.
      guard flow.pointee.flowID == 0 || flows.layout.isLater(entry.flowID, than: flow.pointee.flowID) else { return }
      // Or copies of an earlier one, that came late: they will be freed as covered.
      while flow.pointee.pending != 0 { _ = pending.removeFirst(&flow.pointee.pending) }
      flow.pointee = FlowState(beginning: entry.flowID, initialState)
    }
    // Nothing is here in order: then `next` is no counter that the entry's could be compared with (R18).
    if flow.pointee.next == Stamp.firstCounter || flow.pointee.next.isSeriallyBefore(entry.next) {
      flow.pointee.next = entry.next
      while flow.pointee.pending != 0, pending.firstCounter(flow.pointee.pending).isSeriallyBefore(entry.next) {
        _ = pending.removeFirst(&flow.pointee.pending)
      }
      while flow.pointee.pending != 0, pending.firstCounter(flow.pointee.pending) == flow.pointee.next {
        _ = pending.removeFirst(&flow.pointee.pending)
        flow.pointee.next &+= 1
      }
    }
    flow.pointee.lastPassed = entry.lastPassed
    flow.pointee.time = entry.time
    flow.pointee.isClosed = entry.isClosed != 0
    flow.pointee.state = state.loadUnaligned(as: State.self)
    appliedNext[index] = entry.next
    counters.basesApplied &+= 1
  }

  /// The snapshot is whole, and every batch prepared before its end is voted for.
  public var isSnapshotComplete: Bool {
    guard let end = snapshot.endBatch else { return !isSyncing }
    return votedBatch >= end
  }

  /// There is news of the snapshot for the primary; `writeSynced` writes it.
  public var syncedIsDue: Bool { snapshot.isDue || (isSyncing && isSnapshotComplete && !snapshot.saidComplete) }

  /// Writes the message `synced` (`ControlMessageHeader.byteCount` bytes), which goes the way of votes.
  public mutating func writeSynced(to message: UnsafeMutableRawPointer) {
    let isComplete = isSnapshotComplete
    ControlMessageHeader(
      kind: .synced, pair: configuration.pair, epoch: configuration.epoch, batch: snapshot.applied,
      flags: isComplete ? ControlMessageHeader.syncComplete : 0, length: ControlMessageHeader.byteCount
    ).write(to: message)
    snapshot.isDue = false
    snapshot.saidComplete = isComplete
  }

  /// The map says (P, C inSync, e): this replica may be promoted.
  public mutating func becomeInSync() {
    precondition(isSnapshotComplete, "in sync with a part of the snapshot (R9)")
    isSyncing = false
  }
}
