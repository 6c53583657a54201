import DEFTWire

// An egress fails, and the map names another (R12; docs/model/egress.pml). The primary knows of every flow what the old one
// has acknowledged, and tells the new one before that lets anything out. What was sent and not acknowledged is ambiguous by
// nature: under `resend` the new egress begins behind what was acknowledged, under `discard` behind what was sent. All of it is
// retransmitted in any case, and the new egress does what it always does: lets out, or suppresses and acknowledges.
extension PrimaryReplica where Log: ~Copyable {
  /// The pair's egress by the map, as far as this replica knows.
  public var egressTerm: UInt32 { telling.term }
  /// The new egress is not known to know where to begin: nothing is to be released or retransmitted, and no
  /// acknowledgement counts.
  @inlinable @inline(__always)
  public var tellsEgress: Bool { isTelling }
  /// Tells one attempt's messages from another's.
  public var tellingAttempt: UInt32 { telling.attempt }
  /// Releases of this stream that the new egress takes for acknowledged.
  public var tellingAcknowledged: UInt64 { acknowledgedCount }
  /// Packets that may have left through the old egress or not.
  public var ambiguousCount: UInt64 {
    let sent = max(telling.sent, telling.inherited)
    return sent > acknowledgedCount ? sent - acknowledgedCount : 0
  }

  /// The map names an egress of that term. Also to be called of a successor, when the term is not the first: its predecessor
  /// may have told the egress or not.
  public mutating func egressChanged(term: UInt32) {
    guard term > telling.term, !isSteppedDown else { return }
    precondition(configuration.isReplicated, "without replication nothing is kept that could be sent again")
    telling.term = term
    telling.sent = max(telling.sent, counters.released)
    tellEgressAgain()
  }

  /// The messages may be lost: from the beginning.
  public mutating func tellEgressAgain() {
    telling.phase = .flows
    telling.index = 0
    telling.attempt &+= 1
    isTelling = true
  }

  /// Writes entries for the new egress, at most `capacity`; later ones of a flow replace earlier ones. They must arrive in
  /// order, or not at all.
  public mutating func tellEgress(
    into entries: UnsafeMutablePointer<EgressEntry>, capacity: Int, now: UInt64
  ) -> EgressTellingStep {
    var step = EgressTellingStep()
    guard !isSteppedDown, restarting.phase != .floors else { return step }
    if telling.phase == .flows { tellFlows(entries, capacity, &step.count) }
    if telling.phase == .packets {
      tellPackets(entries, capacity, &step.count)
      if telling.phase == .asked {
        telling.since = now
        step.isComplete = true
      }
    } else if telling.phase == .asked, now &- telling.since >= configuration.acknowledgeTimeout {
      tellEgressAgain()
    }
    return step
  }

  private mutating func tellFlows(_ entries: UnsafeMutablePointer<EgressEntry>, _ capacity: Int, _ count: inout Int) {
    // What was voted for, the dead primary may have released: an entry from before it is processed again would begin too early,
    // and none would take its place under `discard`.
    guard hasReplayedVoted else { return }
    while telling.index < flows.layout.indexCount, count < capacity {
      let flow = flows[telling.index]
      telling.index += 1
      // What is another pair's, its owner tells: also what has left and was not cleared yet, which says where it was then.
      guard flow.pointee.flowID != 0, !gate.isInert(flow.pointee.flowID) else { continue }
      entries[count] = EgressEntry(
        flowID: flow.pointee.flowID, last: flow.pointee.lastPassed, isClosed: flow.pointee.isClosed)
      count += 1
    }
    guard telling.index == flows.layout.indexCount else { return }
    telling.phase = .packets
    telling.position = tail
    telling.sequence = passed
  }

  /// Back over what does not count as let out: of each flow, the first of those says what came before it.
  private mutating func tellPackets(_ entries: UnsafeMutablePointer<EgressEntry>, _ capacity: Int, _ count: inout Int) {
    let end = configuration.ambiguity == .resend ? acknowledgedCount : acknowledgedCount + ambiguousCount
    while telling.sequence > end, count < capacity {
      telling.position -= 1
      let tagged = output[Int(truncatingIfNeeded: telling.position & outputMask)]
      guard tagged & 1 == 0 else { continue }
      telling.sequence -= 1
      let packet = Packet(bitPattern: tagged).unsafelyUnwrapped
      entries[count] = EgressEntry(
        flowID: packet.pointee.flowID, last: packet.pointee.previousPassed, isClosed: false)
      count += 1
    }
    if telling.sequence <= end { telling.phase = .asked }
  }

  /// The egress of that term knows where to begin; `byThis`: from this primary, in this term. What it was told first counts;
  /// a successor that tells it again changes nothing, and nothing was ambiguous.
  public mutating func egressTold(term: UInt32, byThis: Bool) {
    guard telling.phase == .asked, term == telling.term, !isSteppedDown else { return }
    if byThis {
      counters.egressesTold &+= 1
      counters.ambiguous &+= ambiguousCount
    }
    telling.phase = .told
    isTelling = false
    finishRestart()
    // What it cannot have is sent at once.
    retransmission.resend(upTo: counters.released)
  }

  /// As `acknowledged`, by an egress that may not be the pair's any more: its word does not count. Were it to, nobody would send
  /// again what the new egress has to let out first.
  @inlinable
  public mutating func acknowledged(_ count: UInt64, byTerm term: UInt32) -> Bool {
    guard !isTelling, term == egressTerm else { return acknowledged(acknowledgedCount) }
    return acknowledged(count)
  }
}
