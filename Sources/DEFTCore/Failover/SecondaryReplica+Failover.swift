import DEFTWire

// What a change of the map means for a secondary.
extension SecondaryReplica {
  /// R9: the replica alone can reconstruct everything voted or stamped.
  public var isPromotable: Bool { !isSyncing }

  /// R6: on learning the epoch that ends this stream, before anything else: from now on nothing of the old epoch is read or
  /// voted for. Votes that were sent stay binding; what was prepared and not voted for is void.
  public mutating func promise(epoch: UInt32) {
    precondition(epoch > configuration.epoch, "epochs only grow")
    configuration.epoch = epoch
    preparedBatch = votedBatch
    waitingHead = waitingTail
    clocks.truncate(after: votedBatch)
    // R5: what an unvoted prepare declared lost never was.
    resetFlowsWithLosses()
    voidUnvotedLosses()
  }

  /// A flow that goes on behind an unbound loss would never ask for what is missing: it begins again where its state is.
  private func resetFlowsWithLosses() {
    for index in 0..<lost.count {
      let flow = flows.entry(lost[index].flowID)
      guard flow.pointee.flowID == lost[index].flowID else { continue }
      flow.pointee.next = appliedNext[flows.layout.index(lost[index].flowID)]
      flow.pointee.pending = 0
    }
  }

  /// Calls `body` with every copy held, in order of arrival, with what is kept of groups that are not open, and with what gap
  /// repair has brought and waits for room. Before a takeover the caller adds a reference to each.
  public func forEachHeld(_ body: (Packet) -> Void) {
    forEachCopy(body)
    gate.forEach(body)
    for index in 0..<repair.repairedCount { body(repair.repaired[index]) }
  }

  /// What is in the hold.
  func forEachCopy(_ body: (Packet) -> Void) {
    var position = heldHead
    while position != heldTail {
      body(held[Int(position & heldMask)].packet)
      position += 1
    }
  }

  /// Of a secondary that is dead or was dismissed: takes out up to `capacity` copies; the caller gives up the secondary's
  /// reference of each. Returns how many.
  public mutating func takeAbandoned(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    var count = 0
    while repair.repairedCount > 0, count < capacity {
      repair.repairedCount -= 1
      packets[count] = repair.repaired[repair.repairedCount]
      count += 1
    }
    count += gate.drain(into: packets + count, capacity: capacity - count)
    while heldHead != heldTail, count < capacity {
      packets[count] = held[Int(heldHead & heldMask)].packet
      heldHead += 1
      count += 1
    }
    return count
  }
}
