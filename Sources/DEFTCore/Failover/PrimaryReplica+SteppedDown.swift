import DEFTWire

// The end of a primary's ownership (B4), and what becomes of its packets (R8): it may have the only copy.
//
// | has | on | goes |
// |---|---|---|
// | packets released, or dropped by the NF and voted for | `takeAbandoned` | back: egress and the successor have them |
// | packets of the output buffer not released, pending, brought by repair, taken over, kept | `takeUnreleased` | to both replicas of the pair that the map names by then |
// | the same, of one that is dead or whose flows have ended | `takeAbandoned` | back, counted |
// | what still comes to its input | `forwardedInput` | as what is not released |
//
// Prohibited: anything released, committed or processed after the step down; what egress has, forwarded.
extension PrimaryReplica where Log: ~Copyable {
  /// The map of a later epoch names another primary, or a message of a later epoch came: nothing more is released,
  /// committed or processed. The packets come out by `takeUnreleased` and `takeAbandoned`.
  public mutating func stepDown() {
    guard !isSteppedDown else { return }
    isSteppedDown = true
    releasesUnvoted = false
    voted = released
    forwardedEnd = released
    clocksTaken = clocksSent
    freeable = freed
    closesHead = closesTail
    dropSync()
    endMoves()
    updateRoomLimit()
  }

  /// R8: after `stepDown`, of a primary that lives: takes out up to `capacity` packets that it has and egress has not, to be
  /// sent to both replicas of the pair that the map names by then, past the stampers. Returns how many.
  ///
  /// The NF may have seen them: it writes to no packet, so they are the originals, also of those that it dropped. Its verdicts
  /// and the flows' states go nowhere, for nobody has voted for them (R6). The successor orders what it lacks and takes the
  /// others for doubles.
  ///
  /// References: each comes with the primary's and egress's, as by `takeForwarded`: **the caller adds one** before it sends
  /// one packet to both replicas.
  public mutating func takeUnreleased(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    precondition(isSteppedDown)
    let count = drainUnreleased(into: packets, capacity: capacity)
    counters.forwarded &+= UInt64(count)
    return count
  }

  /// Packets that `takeUnreleased` would give out.
  public var unreleasedCount: Int {
    isSteppedDown ? Int(tail - forwardedEnd) + pending.count + repair.repairedCount + backlog.count + gate.count : 0
  }

  /// What has come to the input of one that has stepped down is forwarded by the shell as it is: a packet, with the primary's
  /// and egress's reference. Here it is only counted.
  public mutating func forwardedInput(_ count: Int) {
    precondition(isSteppedDown)
    counters.forwarded &+= UInt64(count)
  }

  /// Calls `body` with every packet that `takeUnreleased` would give out; before the first of them was.
  public func forEachUnreleased(_ body: (Packet) -> Void) {
    var position = forwardedEnd
    while position != tail {
      body(Packet(bitPattern: output[Int(truncatingIfNeeded: position & outputMask)] & ~1).unsafelyUnwrapped)
      position += 1
    }
    forEachWaiting(body)
  }

  /// What egress has not: the end of the output buffer, and what has not come there.
  private mutating func drainUnreleased(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    var count = 0
    while forwardedEnd != tail, count < capacity {
      let tagged = output[Int(truncatingIfNeeded: forwardedEnd & outputMask)]
      packets[count] = Packet(bitPattern: tagged & ~1).unsafelyUnwrapped
      forwardedEnd += 1
      count += 1
    }
    while backlog.count > 0, count < capacity {
      packets[count] = backlog.removeFirst()
      count += 1
    }
    count += pending.drain(into: packets + count, capacity: capacity - count)
    while repair.repairedCount > 0, count < capacity {
      repair.repairedCount -= 1
      packets[count] = repair.repaired[repair.repairedCount]
      count += 1
    }
    return count + gate.drain(into: packets + count, capacity: capacity - count)
  }

  /// After `stepDown` (or of a primary that is dead): takes out every packet that it still has. `released` ones have left
  /// for egress: the caller gives up the primary's reference; of `kept` ones the primary's and egress's. Both have room for
  /// `capacity`. To be called until it returns (0, 0), and of one that lives after `takeForwarded` and `takeUnreleased` have
  /// given out all (R8).
  public mutating func takeAbandoned(
    released releasedPackets: UnsafeMutablePointer<Packet>, kept keptPackets: UnsafeMutablePointer<Packet>, capacity: Int
  ) -> (released: Int, kept: Int) {
    precondition(isSteppedDown)
    var (releasedCount, keptCount) = (0, 0)
    while freed != released, releasedCount < capacity, keptCount < capacity {
      let tagged = output[Int(truncatingIfNeeded: freed & outputMask)]
      let packet = Packet(bitPattern: tagged & ~1).unsafelyUnwrapped
      if tagged & 1 == 0 {
        releasedPackets[releasedCount] = packet
        releasedCount += 1
      } else {
        keptPackets[keptCount] = packet
        keptCount += 1
      }
      freed += 1
    }
    if freed == released {
      keptCount += drainUnreleased(into: keptPackets + keptCount, capacity: capacity - keptCount)
    }
    counters.abandoned &+= UInt64(releasedCount + keptCount)
    return (releasedCount, keptCount)
  }
}
