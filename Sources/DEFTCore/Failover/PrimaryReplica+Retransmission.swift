import DEFTWire

/// Since when egress has owed the primary an acknowledgement.
struct RetransmissionTimer {
  /// What egress had acknowledged when it last made progress, or when there was nothing to acknowledge.
  var acknowledged: UInt64 = 0
  var since: UInt64 = 0
  /// Releases before this one are sent again without waiting, from `next` on: the egress that had them is no more (R12).
  var resendEnd: UInt64 = 0
  var next: UInt64 = 0

  mutating func resend(upTo end: UInt64) {
    resendEnd = end
    next = 0
  }
}

// What egress has not acknowledged is sent again (R2).
extension PrimaryReplica where Log: ~Copyable {
  /// Packets handed to egress: the release sequence of the next one that `release` will put out. What a wire carries (C4) is
  /// its low 32 bits. It begins with 0 when a replica becomes primary, and goes on when only the secondary changes.
  public var releaseSequence: UInt64 { counters.released }

  /// Packets that egress has not acknowledged for `acknowledgeTimeout`, oldest first, at most `capacity`, with the release
  /// sequence of the first (the others follow one by one). To be called now and then: it costs nothing while egress keeps
  /// up, and a walk over the output buffer when it does not.
  ///
  /// References: egress's went with the first release, so the caller adds one to each of these before it hands them on.
  public mutating func retransmit(
    into packets: UnsafeMutablePointer<Packet>, capacity: Int, now: UInt64
  ) -> (count: Int, first: UInt64) {
    let waits = acknowledgedCount < counters.released && !isSteppedDown && configuration.isReplicated && !isTelling
    let resends = waits && retransmission.next < retransmission.resendEnd
    guard waits, acknowledgedCount == retransmission.acknowledged || resends else {
      (retransmission.acknowledged, retransmission.since) = (acknowledgedCount, now)
      return (0, acknowledgedCount)
    }
    guard resends || now &- retransmission.since >= configuration.acknowledgeTimeout else {
      return (0, acknowledgedCount)
    }
    retransmission.since = now
    let first = resends ? max(acknowledgedCount, retransmission.next) : acknowledgedCount
    var position = freed
    var sequence = freedPassed
    var count = 0
    let end = resends ? retransmission.resendEnd : .max
    while position != released, count < capacity, sequence < end {
      let tagged = output[Int(truncatingIfNeeded: position & outputMask)]
      position &+= 1
      guard tagged & 1 == 0 else { continue }
      if sequence >= first {
        packets[count] = Packet(bitPattern: tagged).unsafelyUnwrapped
        count += 1
      }
      sequence &+= 1
    }
    counters.retransmitted &+= UInt64(count)
    if resends { retransmission.next = count == 0 ? retransmission.resendEnd : first + UInt64(count) }
    return (count, first)
  }
}
