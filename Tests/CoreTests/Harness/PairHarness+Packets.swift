import DEFTWire

@testable import DEFTCore

// What happens to packets.
extension PairHarness {
  /// The primary takes up to `count` packets from its input buffer. Returns how many.
  @discardableResult
  func deliverToPrimary(_ count: Int = .max) -> Int {
    let packets = toPrimary.take(min(count, primary.room))
    guard !packets.isEmpty else { return 0 }
    var unwanted = [Packet](repeating: packets[0], count: packets.count)
    let unwantedCount = primary.process(packets, count: packets.count, unwanted: &unwanted, now: now)
    let refused = Set(unwanted[..<unwantedCount])
    require(refused.count == unwantedCount, "the primary refuses a packet twice")
    for packet in packets where !refused.contains(packet) { acceptedByPrimary(packet) }
    for packet in unwanted[..<unwantedCount] { refusedByPrimary(packet) }
    checkPositions()
    return packets.count
  }

  func acceptedByPrimary(_ packet: Packet) {
    withRun(packet.pointee.flowID) { run in
      let before = run.atPrimary.next
      require(run.atPrimary.insert(packet.pointee.counter), "the primary takes a packet twice")
      guard run.atPrimary.next != before else { return }
      touched.insert(run.flowID)
      processed += Int(run.atPrimary.next &- before)
    }
  }

  func refusedByPrimary(_ packet: Packet) {
    let isKnown = runs[packet.pointee.flowID]?.atPrimary.has(packet.pointee.counter) ?? false
    if isKnown || isRepairing {
      giveBack(packet, toPrimary.references, "the primary's input")
    } else {
      cameAgain += 1
      toPrimary.sendAgain(packet)
    }
  }

  /// The secondary takes up to `count` copies. Returns how many.
  @discardableResult
  func deliverToSecondary(_ count: Int = .max) -> Int {
    let packets = toSecondary.take(min(count, secondary.room))
    guard !packets.isEmpty else { return 0 }
    var unwanted = [Packet](repeating: packets[0], count: packets.count)
    let unwantedCount = secondary.hold(packets, count: packets.count, unwanted: &unwanted)
    let refused = Set(unwanted[..<unwantedCount])
    for packet in packets where !refused.contains(packet) {
      heldBySecondary(packet)
    }
    for packet in refused {
      if isRepairing || runs[packet.pointee.flowID]?.atSecondary.has(packet.pointee.counter) ?? false {
        giveBack(packet, 1, "the secondary's input")
      } else {
        cameAgain += 1
        toSecondary.sendAgain(packet)
      }
    }
    return packets.count
  }

  func heldBySecondary(_ packet: Packet) {
    withRun(packet.pointee.flowID) {
      let isNew = $0.atSecondary.insert(packet.pointee.counter)
      // What is declared lost and not bound yet is kept as often as it comes.
      let isLost = lost.contains(PacketName(packet.pointee))
      require(isNew || isLost, "the secondary holds two copies of a packet")
    }
  }

  @discardableResult
  func release(_ capacity: Int = 64) -> Int {
    guard capacity > 0 else { return 0 }
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: capacity)
    let count = primary.release(into: &packets, capacity: capacity)
    for packet in packets[..<count] { released(packet) }
    checkPositions()
    return count
  }

  private func released(_ packet: Packet) {
    let (flowID, counter) = (packet.pointee.flowID, packet.pointee.counter)
    withRun(flowID) { run in
      require(
        counter.isSeriallyBefore(run.votedNext) || !options.replication.isReplicated,
        "(\(flowID), \(counter)) is released before the vote for its batch")
      guard run.released < run.leaving.count else { return fail("flow \(flowID) releases too much") }
      let due = run.leaving[run.released]
      require(due.counter == counter, "flow \(flowID) releases \(counter), not \(due.counter)")
      require(due.previous == packet.pointee.previousPassed, "(\(flowID), \(counter)) names another as passed before it")
      run.released += 1
    }
    toEgress.append((packet, releases.count))
    releases.append((flowID, counter, false))
    // The releaser may send twice what it was not told of in time (R2).
    if random.oneIn(options.doubles * 4) { toEgress.append((bank.copy(packet, references: 1), nil)) }
  }

  /// Egress takes up to `count` packets, out of order if the way to it is so.
  func runEgress(_ count: Int = 64) {
    for _ in 0..<min(count, toEgress.count) {
      let (packet, place) = toEgress.remove(at: random.below(min(options.egressWindow, toEgress.count)))
      switch egress.decide(packet) {
      case .transmit, .forget:
        leave(packet, place)
        while let held = egress.nextHeld(after: packet) {
          leave(held, heldPlaces.removeValue(forKey: held))
          giveBack(held, 1, "egress")
        }
        giveBack(packet, 1, "egress")
      case .suppress:
        if let place { releases[place].isDone = true }
        giveBack(packet, 1, "egress")
      case .hold:
        heldPlaces[packet] = place
      case .refuse:
        toEgress.append((packet, place))
      }
    }
    require(egress.heldCount <= options.egressHold, "egress holds too much")
  }

  private func leave(_ packet: Packet, _ place: Int?) {
    let (flowID, counter) = (packet.pointee.flowID, packet.pointee.counter)
    withRun(flowID) { run in
      guard run.out < run.leaving.count else { return fail("flow \(flowID) sends too much") }
      let due = run.leaving[run.out]
      require(due.counter == counter, "(\(flowID), \(counter)) leaves instead of \(due.counter)")
      require(due.isMarker == packet.pointee.layout.isCloseMarker, "(\(flowID), \(counter)): marker and packet mixed up")
      run.out += 1
      if !due.isMarker {
        transmitted.append((flowID, counter))
        transmittedTimes.append(now)
      }
    }
    if let place { releases[place].isDone = true }
  }

  /// Tells the primary how much egress has dealt with: a prefix of what was released.
  func acknowledge() {
    if egress.heldCount == 0 {
      while acknowledgedPlaces < releases.count, releases[acknowledgedPlaces].isDone {
        let place = releases[acknowledgedPlaces]
        withRun(place.flowID) { $0.acknowledged = place.counter }
        acknowledgedPlaces += 1
      }
    }
    _ = primary.acknowledged(UInt64(acknowledgedPlaces))
    checkPositions()
  }

  /// The primary gives back what its state clocks cover, and the slots of closed flows.
  @discardableResult
  func freeAtPrimary(_ capacity: Int = 64) -> Int {
    var passed = [Packet](repeating: Packet(bitPattern: 8)!, count: capacity)
    var dropped = passed
    let counts = primary.takeFreed(passed: &passed, dropped: &dropped, capacity: capacity)
    let isReplicated = options.replication.isReplicated
    for packet in passed[..<counts.passed] where isReplicated {
      let counter = packet.pointee.counter
      withRun(packet.pointee.flowID) {
        require($0.acknowledged.isSeriallyAtLeast(counter), "the primary frees a packet that egress has not acknowledged")
      }
      giveBack(packet, 1, "the primary")
    }
    for packet in dropped[..<counts.dropped] {
      let counter = packet.pointee.counter
      withRun(packet.pointee.flowID) {
        require(
          counter.isSeriallyBefore($0.votedNext) || !isReplicated, "the primary frees a dropped packet before the vote")
      }
      giveBack(packet, isReplicated ? 2 : 1, "the primary")
    }
    while let flowID = primary.nextCommittedClose() {
      withRun(flowID) { run in
        require(run.point(before: run.next)?.isClosed == true, "flow \(flowID) is not closed")
        require(run.out == run.leaving.count, "flow \(flowID)'s slot is free before its last packet is out")
        require(run.appliedNext == run.next || !isReplicated, "flow \(flowID)'s slot is free before the secondary knows")
      }
      require(unit.closeCommitted(flowID), "nobody waits for the close of flow \(flowID)")
      closesCommitted += 1
    }
    checkPositions()
    return counts.passed + counts.dropped
  }

  @discardableResult
  func freeAtSecondary(_ capacity: Int = 64) -> Int {
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: capacity)
    let count = secondary.takeFreed(into: &packets, capacity: capacity)
    for packet in packets[..<count] {
      let counter = packet.pointee.counter
      withRun(packet.pointee.flowID) {
        require(counter.isSeriallyBefore($0.appliedNext), "the secondary frees a copy that no state clock covers")
      }
      giveBack(packet, 1, "the secondary")
    }
    return count
  }
}
