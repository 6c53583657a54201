import DEFTCore

/// Memory for the tables of a replica that will be made while packets flow: mapped beforehand, because the kernel takes
/// milliseconds to find and clear it. What does not fit is mapped when it is asked for.
struct TableArena {
  private let base: UnsafeMutableRawPointer
  private let capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    base = MbufStorage.tableMemory(capacity)
  }

  /// Hands it out piece by piece.
  func memory() -> TableMemory {
    var used = 0
    return { byteCount in
      let size = (byteCount + 63) & ~63
      guard used + size <= capacity else { return MbufStorage.tableMemory(byteCount) }
      defer { used += size }
      return base + used
    }
  }

  /// Bytes that a primary's tables take beside those that it takes over from a secondary, and a whole secondary's.
  static func bytes<State: BitwiseCopyable & Sendable>(
    _ replication: ReplicationConfiguration, layout: FlowIDLayout, state: State.Type
  ) -> (primary: Int, secondary: Int) {
    let entry = ReplicationConfiguration.stateEntryBytes(stateSize: MemoryLayout<State>.size)
    let lists = 16 * replication.pending + 8 * replication.window * (replication.batch + replication.pending) * 2
    let primary =
      8 * replication.holdCapacity + 4 * (replication.batch + replication.pending + replication.stateClockFlows)
      + (replication.snapshotChunk + replication.batch) * entry + layout.indexCount / 8 + lists
    let flow = (MemoryLayout<FlowState<State>>.size + 63) & ~63
    let secondary =
      layout.indexCount * (flow + 4) + 16 * (replication.holdCapacity + replication.longestHold) + 2 * lists
      + 16 * replication.stateClockPackets
    return (primary + (1 << 20), secondary + (1 << 20))
  }
}
