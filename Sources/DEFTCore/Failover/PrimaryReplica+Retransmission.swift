import DEFTWire

/// Since when egress has owed the primary an acknowledgement.
struct RetransmissionTimer {
  /// What egress had acknowledged when it last made progress, or when there was nothing to acknowledge.
  var acknowledged: UInt64 = 0
  var since: UInt64 = 0
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
    let waits = acknowledgedCount < counters.released && !isSteppedDown && configuration.isReplicated
    guard waits, acknowledgedCount == retransmission.acknowledged else {
      retransmission = RetransmissionTimer(acknowledged: acknowledgedCount, since: now)
      return (0, acknowledgedCount)
    }
    guard now &- retransmission.since >= configuration.acknowledgeTimeout else { return (0, acknowledgedCount) }
    retransmission.since = now
    var position = freed
    var sequence = freedPassed
    var count = 0
    while position != released, count < capacity {
      let tagged = output[Int(truncatingIfNeeded: position & outputMask)]
      position &+= 1
      guard tagged & 1 == 0 else { continue }
      if sequence >= acknowledgedCount {
        packets[count] = Packet(bitPattern: tagged).unsafelyUnwrapped
        count += 1
      }
      sequence &+= 1
    }
    counters.retransmitted &+= UInt64(count)
    return (count, acknowledgedCount)
  }
}
