import DEFTCore
import DEFTWire

/// A pair's secondary between its rings, as `SecondaryStage` is on an lcore.
final class SecondaryActor: Actor {
  typealias Replica = SecondaryReplica<SimulatedFunction.State, SimulatedStorage>
  unowned let simulation: Simulation
  let index: Int
  let pair: Int
  let node: Int
  var replica: Replica
  var input = Fifo<Packet>()
  var inbox = Fifo<UnsafeRawBufferPointer>()
  /// Votes for the control thread.
  var outbox = Fifo<UnsafeRawBufferPointer>()
  private var step = 0
  private var told: (voted: UInt64, applied: UInt64) = (0, 0)
  /// Packet clocks received and not voted for, by batch.
  var clocks = Fifo<(batch: UInt64, bytes: UnsafeRawBufferPointer)>()

  var name: String { "secondary \(pair)" }
  private var holder: Holder { node + 1 }

  init(_ simulation: Simulation, index: Int, pair: Int, node: Int) {
    self.simulation = simulation
    self.index = index
    self.pair = pair
    self.node = node
    var configuration = simulation.options.replication
    configuration.pair = UInt16(pair)
    replica = Replica(
      initialState: SimulatedFunction.initialState, configuration: configuration, layout: simulation.layout,
      memory: simulation.arena.allocate)
  }

  func poll() -> Int {
    var moved = 0
    let interruption = simulation.options.interruption
    repeat {
      switch step {
      case 0: moved += hold()
      case 1: moved += readMessages()
      case 2: moved += vote()
      default: moved += free()
      }
      step = step == 3 ? 0 : step + 1
      simulation.checkSecondaryBounds(self)
    } while step != 0 && !simulation.random.oneIn(interruption)
    return moved
  }

  private func hold() -> Int {
    let count = min(simulation.options.burst * 2, replica.room, input.count)
    guard count > 0 else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    let unwanted = simulation.otherBuffer.baseAddress!
    for i in 0..<count { packets[i] = input.removeFirst() }
    let unwantedCount = replica.hold(packets, count: count, unwanted: unwanted)
    var next = 0
    for i in 0..<count {
      if next < unwantedCount, unwanted[next] == packets[i] {
        next += 1
        refuse(packets[i])
      } else {
        simulation.checkHeld(packets[i], by: self)
      }
    }
    simulation.require(next == unwantedCount, .packetMemory) { "\(name) refuses a packet that it was not given" }
    return count
  }

  private func refuse(_ packet: Packet) {
    let flow = simulation.flow(packet.pointee.flowID)
    if flow == nil || flow!.isHeld(packet.pointee.counter, node: node) {
      simulation.giveBack(packet, holder, 1, name)
    } else {
      simulation.trace("\(name): no room for \(simulation.text(packet)), comes again")
      input.append(packet)
    }
  }

  private func readMessages() -> Int {
    var count = 0
    while count < 8, !inbox.isEmpty {
      let message = inbox.removeFirst()
      let (applied, repeated) = (replica.appliedBatch, replica.counters.repeatedMessages)
      replica.receive(message)
      if replica.counters.repeatedMessages == repeated { received(message, appliedBefore: applied) }
      count += 1
    }
    return count
  }

  private func received(_ message: UnsafeRawBufferPointer, appliedBefore: UInt64) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    if header.kind == ControlMessageHeader.Kind.prepare.rawValue { clocks.append((header.batch, message)) }
    guard replica.appliedBatch != appliedBefore else { return }
    simulation.trace("\(name): applies \(header.batch)")
    simulation.noteApplied(message)
  }

  private func vote() -> Int {
    let before = replica.votedBatch
    let delayed = replica.counters.votesDelayed
    if replica.vote() || replica.votedBatch != before {
      simulation.checkVote(through: replica.votedBatch, by: self)
      simulation.occurrences.note(delayed == 0 ? .voteAtOnce : .voteDelayed)
    }
    return tell()
  }

  private func tell() -> Int {
    guard told != (replica.votedBatch, replica.appliedBatch), outbox.count < simulation.options.inbox else { return 0 }
    told = (replica.votedBatch, replica.appliedBatch)
    outbox.append(message(.vote, voted: told.voted, applied: told.applied))
    simulation.links[pair].ring()
    return 1
  }

  func message(_ kind: ControlMessageHeader.Kind, voted: UInt64, applied: UInt64) -> UnsafeRawBufferPointer {
    let length = ControlMessageHeader.byteCount + 8
    let bytes = simulation.arena.allocate(length, alignment: 8)
    ControlMessageHeader(
      kind: kind, pair: UInt16(pair), epoch: replica.configuration.epoch, batch: voted, length: length
    ).write(to: bytes)
    (bytes + ControlMessageHeader.byteCount).storeBytes(of: applied.littleEndian, as: UInt64.self)
    return UnsafeRawBufferPointer(start: bytes, count: length)
  }

  private func free() -> Int {
    let packets = simulation.burstBuffer.baseAddress!
    let count = replica.takeFreed(into: packets, capacity: simulation.burstBuffer.count)
    for i in 0..<count {
      simulation.checkCopyFreed(packets[i])
      simulation.giveBack(packets[i], holder, 1, name)
    }
    return count
  }
}
