import DEFTCore
import DEFTWire

/// A pair's primary between its rings, as `PrimaryStage` is on an lcore. A turn may stop after any of its steps; the next
/// one goes on there.
final class PrimaryActor: Actor {
  typealias Replica = PrimaryReplica<SimulatedFunction, SimulatedStorage, SimulatedLogEnd>
  unowned let simulation: Simulation
  let index: Int
  let pair: Int
  let node: Int
  var replica: Replica
  let prepares: SimulatedLog
  let commits: SimulatedLog
  var input = Fifo<Packet>()
  var inbox = Fifo<UnsafeRawBufferPointer>()
  /// Packets that egress has dealt with.
  var acknowledged: UInt64 = 0
  private var step = 0
  /// Messages of the logs that the checkers have seen.
  private var seenPrepares = 0
  private var seenCommits = 0

  var name: String { "primary \(pair)" }
  private var holder: Holder { node + 1 }

  init(_ simulation: Simulation, index: Int, pair: Int, node: Int) {
    self.simulation = simulation
    self.index = index
    self.pair = pair
    self.node = node
    let options = simulation.options
    var configuration = options.replication
    configuration.pair = UInt16(pair)
    let stateSize = MemoryLayout<SimulatedFunction.State>.size
    prepares = SimulatedLog(capacity: options.prepareLog * configuration.longestPrepare, simulation.arena)
    commits = SimulatedLog(capacity: options.commitLog * configuration.longestCommit(stateSize: stateSize), simulation.arena)
    replica = Replica(
      function: options.function, configuration: configuration, layout: simulation.layout,
      prepares: SimulatedLogEnd(log: prepares), commits: SimulatedLogEnd(log: commits),
      closeCapacity: options.units * options.slotsPerUnit, memory: simulation.arena.allocate)
  }

  func poll() -> Int {
    var moved = 0
    let interruption = simulation.options.interruption
    repeat {
      switch step {
      case 0: moved += readMessages()
      case 1: moved += readAcknowledgement()
      case 2: moved += release()
      case 3: moved += free()
      default: moved += takeAndClose()
      }
      step = step == 4 ? 0 : step + 1
      simulation.checkPrimaryBounds(self)
    } while step != 0 && !simulation.random.oneIn(interruption)
    return moved
  }

  private func readMessages() -> Int {
    var count = 0
    while !inbox.isEmpty {
      let message = inbox.removeFirst()
      let answer = Answer(message)
      simulation.trace("\(name): told voted \(answer.voted) applied \(answer.applied)")
      if replica.receive(message) {
        simulation.occurrences.note(.resumed)
        simulation.links[pair].ring()
      }
      count += 1
    }
    return count
  }

  private func readAcknowledgement() -> Int {
    guard replica.acknowledged(acknowledged) else { return 0 }
    simulation.links[pair].ring()
    return 1
  }

  private func release() -> Int {
    let room = min(simulation.burstBuffer.count, simulation.egress.room(pair))
    guard room > 0 else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    let count = replica.release(into: packets, capacity: room)
    for i in 0..<count {
      simulation.checkReleased(packets[i], by: self)
      simulation.sendToEgress(packets[i], pair: pair, from: holder)
    }
    return count
  }

  private func free() -> Int {
    let capacity = simulation.burstBuffer.count
    let passed = simulation.burstBuffer.baseAddress!
    let dropped = simulation.otherBuffer.baseAddress!
    let (passedCount, droppedCount) = replica.takeFreed(passed: passed, dropped: dropped, capacity: capacity)
    for i in 0..<passedCount {
      simulation.checkFreed(passed[i], isDropped: false)
      simulation.giveBack(passed[i], holder, 1, name)
    }
    for i in 0..<droppedCount {
      simulation.checkFreed(dropped[i], isDropped: true)
      simulation.giveBack(dropped[i], holder, 2, name)
    }
    while let flowID = replica.nextCommittedClose() { simulation.returnSlot(flowID, pair: pair) }
    return passedCount + droppedCount
  }

  private func takeAndClose() -> Int {
    let room = min(simulation.options.burst * 2, replica.room)
    var isDry = false
    var count = 0
    if room > 0 {
      isDry = input.isEmpty
      let packets = simulation.burstBuffer.baseAddress!
      count = min(room, input.count)
      for i in 0..<count { packets[i] = input.removeFirst() }
      if count > 0 { take(packets, count) }
    } else if replica.batchesInFlight >= simulation.options.replication.window {
      simulation.occurrences.note(.windowFull)
    } else if replica.openCount < simulation.options.replication.batch {
      simulation.occurrences.note(.outputBufferFull)
    }
    let wasFull = replica.openCount >= simulation.options.replication.batch
    if replica.closeBatchIfDue(inputIsDry: isDry, now: simulation.now) {
      simulation.occurrences.note(wasFull ? .batchFull : isDry ? .batchDry : .batchFlushed)
      simulation.links[pair].ring()
      count += 1
    }
    while seenPrepares < prepares.messages.count {
      simulation.checkPrepare(prepares.messages[seenPrepares].bytes, by: self)
      seenPrepares += 1
    }
    while seenCommits < commits.messages.count {
      simulation.checkStateClock(commits.messages[seenCommits].bytes)
      seenCommits += 1
    }
    return count
  }

  private func take(_ packets: UnsafeMutablePointer<Packet>, _ count: Int) {
    let unwanted = simulation.otherBuffer.baseAddress!
    let unwantedCount = replica.process(packets, count: count, unwanted: unwanted, now: simulation.now)
    var next = 0
    for i in 0..<count {
      if next < unwantedCount, unwanted[next] == packets[i] {
        next += 1
        refuse(packets[i])
      } else {
        simulation.checkTaken(packets[i], by: self)
      }
    }
    simulation.require(next == unwantedCount, .packetMemory) { "\(name) refuses a packet that it was not given" }
  }

  private func refuse(_ packet: Packet) {
    let flow = simulation.flow(packet.pointee.flowID)
    if flow == nil || flow!.isTaken(packet.pointee.counter, node: node) {
      simulation.giveBack(packet, holder, 2, name)
    } else {
      simulation.trace("\(name): no room for \(simulation.text(packet)), comes again")
      input.append(packet)
    }
  }
}
