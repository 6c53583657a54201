import DEFTCore
import DEFTWire

// Flow groups come and go (R8, R11).
extension PrimaryActor {
  func forEachWaiting(_ body: (_ flowID: UInt32, _ counter: UInt32) -> Void) {
    replica.forEachWaiting { body($0.pointee.flowID, $0.pointee.counter) }
  }

  /// The group is another pair's, or frozen: its packets are kept, and do not come to the table of flows.
  func onlyKeeps(_ group: Int) -> Bool {
    node.groups[group].pair != pair || ![.none, .copying].contains(replica.moveStatus(of: group))
  }

  /// What was kept and is to be processed here comes before the input.
  func thaw() -> Int {
    guard replica.isMigrating else { return 0 }
    let unwanted = simulation.otherBuffer.baseAddress!
    let before = replica.keptCount
    // One by one: a double is not wanted, and one that finds no room is lost.
    for _ in 0..<simulation.options.burst * 2 {
      let noRoom = replica.counters.migration.noRoom
      guard replica.thaw(unwanted: unwanted, capacity: 1, now: simulation.now) == 1 else { break }
      if replica.counters.migration.noRoom != noRoom { hasLost(unwanted[0]) }
      abandon(unwanted[0])
    }
    return before - replica.keptCount
  }

  /// What former owners have forwarded.
  func takeForwarded() -> Int {
    let count = min(simulation.options.burst * 2, replica.forwardedRoom, forwards.count)
    guard count > 0 else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    let unwanted = simulation.otherBuffer.baseAddress!
    for i in 0..<count { packets[i] = forwards.removeFirst() }
    let unwantedCount = replica.processForwarded(packets, count: count, unwanted: unwanted, now: simulation.now)
    var next = 0
    for i in 0..<count {
      if next < unwantedCount, unwanted[next] == packets[i] {
        next += 1
        simulation.trace("\(name): refuses \(simulation.text(packets[i]))")
        abandon(packets[i])
      } else {
        simulation.checkTaken(packets[i], by: self)
      }
    }
    return count
  }

  /// One step of the moves away from here and to here.
  func migrate() -> Int {
    guard replica.isMigrating || !moveInbox.isEmpty else { return sayDrained() }
    var moved = forward()
    while !moveInbox.isEmpty {
      replica.receiveMove(moveInbox.removeFirst())
      moved += 1
    }
    simulation.require(replica.counters.migration.impossible == 0, .messages) { "\(name) refuses a message of a move" }
    var log = SimulatedLogEnd(log: moveLog)
    for other in 0..<simulation.options.pairs where other != pair && !isRetiring {
      if replica.continueMoves(to: other, now: simulation.now, into: &log) { moved += 1 }
      let answer = replica.answerMoves(to: other, into: &log)
      if answer.toSource { moved += 1 }
      if answer.toSecondary { link?.ring() }
    }
    lookAtStaged()
    while let message = moveLog.read() {
      simulation.checkMove(message)
      simulation.sendMove(message, from: node)
    }
    return moved + sayDrained()
  }

  /// What came by a message of a move went into the log for the secondary.
  private func lookAtStaged() {
    guard let prepares = link?.prepares, prepares.seen < prepares.messages.count else { return }
    link?.ring()
    lookAtPrepares()
  }

  func forward() -> Int {
    let room = simulation.forwardCredit(from: self)
    guard room > 0, replica.forwardableCount > 0 else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    let count = replica.takeForwarded(into: packets, capacity: room)
    for i in 0..<count { simulation.forward(packets[i], by: self) }
    return count
  }

  func sayDrained() -> Int {
    for group in node.groups.indices where simulation.awaitsDrain(group, of: self) && replica.keptCount(of: group) == 0 {
      simulation.propose(.drained(node.id), group: group, version: node.groups[group].version, after: 0)
    }
    return 0
  }
}

extension SecondaryActor {
  var hasMoreToForward: Bool { replica.forwardableCount > 0 }

  func forEachWaiting(_ body: (_ flowID: UInt32, _ counter: UInt32) -> Void) {
    replica.forEachHeld { body($0.pointee.flowID, $0.pointee.counter) }
  }

  func thaw() -> Int {
    guard replica.isMigrating else { return 0 }
    let unwanted = simulation.otherBuffer.baseAddress!
    let before = replica.keptCount
    for _ in 0..<simulation.options.burst * 2 {
      let pendingFull = replica.counters.pendingFull
      guard replica.thaw(unwanted: unwanted, capacity: 1) == 1 else { break }
      if replica.counters.pendingFull != pendingFull { hasLost(unwanted[0]) }
      abandon(unwanted[0])
    }
    return before - replica.keptCount
  }

  func forward() -> Int {
    var count = 0
    let room = simulation.forwardCredit(from: self)
    if room > 0, replica.forwardableCount > 0 {
      let packets = simulation.burstBuffer.baseAddress!
      count = replica.takeForwarded(into: packets, capacity: room)
      for i in 0..<count { simulation.forward(packets[i], by: self) }
    }
    guard !isRetiring else { return count }
    for group in node.groups.indices where simulation.awaitsDrain(group, of: self) && replica.keptCount(of: group) == 0 {
      simulation.propose(.drained(node.id), group: group, version: node.groups[group].version, after: 0)
    }
    return count
  }
}
