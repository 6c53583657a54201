/// What the protocol must be seen to do in a run of many seeds: a transition that never occurs is not tested.
public enum Transition: Int, CaseIterable, Sendable {
  case batchFull, batchDry, batchFlushed
  case windowFull, prepareLogFull, commitLogFull, outputBufferFull
  case stateClockTaken, stateClockApplied
  case voteAtOnce, voteDelayed
  case reorderedAtPrimary, reorderedAtSecondary
  case duplicateAtPrimary, duplicateAtSecondary
  case pendingFullAtPrimary, pendingFullAtSecondary
  case heldSorted
  case droppedByFunction
  case egressHeld, egressSuppressed, egressRefused
  case flowClosed, slotReused, staleGeneration, outsideWindow
  case repaired, denied, declaredLost, boundLost, uncovered, lossInherited
  case resumed, repeatedMessage
  case takeover, syncBegun, synced, aloneWhileSyncing, releasedWhileSyncing, replayedVoted, replayedUnvoted, alone,
    unprotected, steppedDown
  case retransmitted, staleEpoch, slotAskedFor
  case moveBegun, moveCommitted, moveUndone, moveDone, moveRefused
  case forwardedToSuccessor
  case kept, thawed, forwarded, staged, restaged, staleMove, lossDelayed
  case noCredit, poolEmpty, noSlot
  case egressTold, egressToldBySuccessor, toldAgain, ambiguousResent, ambiguousLost, staleAcknowledgement
  case egressFailedInMove, egressFailedInForwarding, moveInTelling
  case unitReplaced, staleIncarnation, orphanClosed, orphanMarkerAgain, orphanForgotten, packetsOfOrphanLost
  /// Of a unit that is replaced where groups move.
  case unitReplacedWhileMoving, unitAsksAnew, unitWaitsForDrain, inheritedFromReplaced
  /// And where a pair has lost its states.
  case unitReplacedWhileLost, lostSlotsFromEgress
  case restarted, restartedWhileSyncing, flowRestarted, floorTaken, floorsToldAgain, lostGeneration, egressBegunAnew,
    lateRelease, heldAbandoned

  public var name: String { "\(self)" }
}

/// How often each fault and each transition occurred in one run.
public struct Occurrences: Sendable {
  public private(set) var faults = [UInt32](repeating: 0, count: Fault.allCases.count)
  public private(set) var transitions = [UInt32](repeating: 0, count: Transition.allCases.count)

  mutating func note(_ fault: Fault) { faults[fault.rawValue] &+= 1 }
  mutating func note(_ transition: Transition) { transitions[transition.rawValue] &+= 1 }
  mutating func note(_ transition: Transition, _ count: UInt64) {
    transitions[transition.rawValue] &+= UInt32(truncatingIfNeeded: count)
  }
}
