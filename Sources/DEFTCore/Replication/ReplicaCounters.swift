/// What a primary has done, for summaries and telemetry. Written by its lcore only.
@frozen
public struct PrimaryCounters: Sendable {
  /// Packets that entered ordering, close markers included.
  public var received: UInt64 = 0
  /// Packets that went through the NF (close markers are not among them).
  public var processed: UInt64 = 0
  public var droppedByFunction: UInt64 = 0
  public var closeMarkers: UInt64 = 0
  /// Handed to egress, close markers included.
  public var released: UInt64 = 0
  public var batchesPrepared: UInt64 = 0
  public var batchesVoted: UInt64 = 0
  public var batchesInFlightHighWater: UInt64 = 0
  public var stateClocksTaken: UInt64 = 0
  public var stateClocksApplied: UInt64 = 0
  /// Drops of packets, by reason.
  public var duplicates: UInt64 = 0
  public var staleGeneration: UInt64 = 0
  /// Those of them whose generation ended because both replicas were lost.
  public var lostGeneration: UInt64 = 0
  public var outsideWindow: UInt64 = 0
  public var pendingFull: UInt64 = 0
  /// Packets that had to wait in the pendingList.
  public var reordered: UInt64 = 0
  /// Waits: a log had no room.
  public var prepareLogFull: UInt64 = 0
  public var commitLogFull: UInt64 = 0
  /// Messages refused.
  public var staleEpochMessages: UInt64 = 0
  public var impossibleMessages: UInt64 = 0
  /// Packets that were free to go without the vote of a secondary in sync (R7).
  public var unprotected: UInt64 = 0
  /// Packets that a secondary voted for which was still syncing, released under `hold` because the output buffer was full.
  public var releasedWhileSyncing: UInt64 = 0
  /// Copies that a takeover re-processed, and those of them that were voted for.
  public var replayed: UInt64 = 0
  public var replayedVoted: UInt64 = 0
  /// Snapshots begun, and flows written for them (R9).
  public var syncs: UInt64 = 0
  public var basesSent: UInt64 = 0
  /// Releases sent again (R2).
  public var retransmitted: UInt64 = 0
  /// New egresses that this primary told where to begin; packets that may have left through one that failed, or may not (R12).
  public var egressesTold: UInt64 = 0
  public var ambiguous: UInt64 = 0
  /// Floors taken from stamping units, by one that began with nothing.
  public var floors: UInt64 = 0
  /// Packets given out to be forwarded after the pair went to somebody else (R8).
  public var forwarded: UInt64 = 0
  /// Packets given back after the pair went to somebody else (B4).
  public var abandoned: UInt64 = 0
  public var repair = RepairCounters()
  public var migration = MigrationCounters()
  public init() {}
}

/// What a secondary has done.
@frozen
public struct SecondaryCounters: Sendable {
  public var received: UInt64 = 0
  /// Copies given back because a state clock covers them.
  public var freed: UInt64 = 0
  public var votes: UInt64 = 0
  /// Batches whose vote had to wait for packets.
  public var votesDelayed: UInt64 = 0
  public var stateClocksApplied: UInt64 = 0
  public var heldHighWater: UInt64 = 0
  /// Times that the hold was nearly full and its copies were sorted.
  public var sorted: UInt64 = 0
  public var duplicates: UInt64 = 0
  public var staleGeneration: UInt64 = 0
  public var outsideWindow: UInt64 = 0
  public var pendingFull: UInt64 = 0
  public var reordered: UInt64 = 0
  public var staleEpochMessages: UInt64 = 0
  /// Prepares and commits that were seen before (a reconnection) and ignored.
  public var repeatedMessages: UInt64 = 0
  /// Flows of a snapshot.
  public var basesApplied: UInt64 = 0
  /// Batches whose packet clock was forgotten, for want of room, before their state came: after a takeover their packets
  /// count as not voted for.
  public var clocksForgotten: UInt64 = 0
  /// Messages that no correct primary sends: a gap in the batch numbers, a commit that was not voted for.
  public var impossibleMessages: UInt64 = 0
  public var repair = RepairCounters()
  public var migration = MigrationCounters()
  public init() {}
}

/// How far apart two counters of one flow may be before a packet is taken for garbage (R18).
@usableFromInline let counterWindow: Int32 = 1 << 30
