import DEFTCore
import DEFTWire

/// A pair's secondary between its rings, as `SecondaryStage` is on an lcore.
final class SecondaryActor: ReplicaActor {
  typealias Replica = SecondaryReplica<SimulatedFunction.State, SimulatedStorage>
  enum Step: Int, CaseIterable { case copies, messages, vote, free, repair }

  unowned let simulation: Simulation
  let index: Int
  let pair: Int
  let node: SimulatedNode
  /// Its bit in the flows' histories.
  let mark: Int
  private let storage = UnsafeMutablePointer<Replica>.allocate(capacity: 1)
  var replica: Replica {
    _read { yield storage.pointee }
    _modify { yield &storage.pointee }
  }
  let link: ControlLink
  var input = Fifo<Packet>()
  private(set) var taken: UInt64 = 0
  var inputMarks: [UInt64]
  /// The units' incarnations when it began.
  let firstIncarnations: [UInt32]
  var inbox = Fifo<UnsafeRawBufferPointer>()
  /// Votes for the control thread.
  var outbox = Fifo<UnsafeRawBufferPointer>()
  private(set) var isGone = false
  private(set) var isRetiring = false
  /// The replica is a primary's now.
  private(set) var isMoved = false
  private var step = Step.copies
  private var told: (voted: UInt64, applied: UInt64) = (0, 0)
  /// Packet clocks received and not voted for, by batch.
  var clocks = Fifo<(batch: UInt64, bytes: UnsafeRawBufferPointer)>()

  var name: String { "secondary \(pair) on \(node.id)" }
  let epoch: UInt32
  /// By the map it is in sync: its votes count.
  private(set) var isCounted: Bool
  var referencesPerPacket: Int { 1 }

  init(
    _ simulation: Simulation, index: Int, pair: Int, node: SimulatedNode, mark: Int, epoch: UInt32,
    link: ControlLink, _ replica: consuming Replica
  ) {
    self.simulation = simulation
    self.index = index
    self.pair = pair
    self.node = node
    self.mark = mark
    self.epoch = epoch
    self.link = link
    isCounted = !replica.isSyncing
    inputMarks = [UInt64](repeating: 0, count: simulation.options.units)
    firstIncarnations = node.incarnations
    storage.initialize(to: replica)
  }
  deinit {
    if !isMoved { storage.deinitialize(count: 1) }
    storage.deallocate()
  }

  /// What gap repair has brought and the replica has not looked at.
  var repaired = Fifo<Packet>()

  // MARK: its life

  /// The map says that it is in sync; it will learn so.
  func countVotes() { isCounted = true }

  func becomeInSync() {
    simulation.trace("\(name): is in sync")
    if replica.isSyncing { replica.becomeInSync() }
  }

  func die() {
    isGone = true
    link.secondaryDied()
  }

  func stepDown() {
    simulation.trace("\(name): is dismissed")
    link.close()
    // A former owner forwards as long as it lives (R8).
    isRetiring = true
    if hasMoreToForward { simulation.wake(index) } else { giveAllBack() }
  }

  private func giveAllBack() {
    let packets = simulation.burstBuffer.baseAddress!
    while true {
      let count = replica.takeAbandoned(into: packets, capacity: simulation.burstBuffer.count)
      if count == 0 { break }
      for i in 0..<count { abandon(packets[i]) }
    }
    while !input.isEmpty { abandon(input.removeFirst()) }
    isGone = true
  }

  /// It becomes the primary: its replica, and every copy with a primary's references.
  func moveOut() -> Replica {
    isGone = true
    isMoved = true
    link.close()
    replica.forEachHeld { simulation.packets.add($0, node.holder, 1) }
    for packet in input.waiting { simulation.packets.add(packet, node.holder, 1) }
    return storage.move()
  }

  func learn(_ assignment: GroupAssignment, group: Int) {
    guard !isRetiring else { return }
    replica.learn(assignment, group: group)
    simulation.wake(index)
  }

  func poll() -> Int {
    var moved = 0
    if isRetiring {
      moved = forward()
      if !hasMoreToForward { giveAllBack() }
      return moved
    }
    repeat {
      moved += perform(step)
      step = Step(rawValue: step.rawValue + 1) ?? .copies
      simulation.checkSecondaryBounds(self)
    } while step != .copies && !simulation.random.oneIn(simulation.options.interruption)
    return moved
  }

  func perform(_ step: Step) -> Int {
    switch step {
    case .copies: thaw() + hold()
    case .messages: readMessages()
    case .vote: vote()
    case .free: free()
    case .repair: repair() + forward()
    }
  }

  // MARK: steps

  private func hold() -> Int {
    let count = min(simulation.options.burst * 2, replica.room, input.count)
    guard count > 0 else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    let unwanted = simulation.otherBuffer.baseAddress!
    for i in 0..<count { packets[i] = input.removeFirst() }
    taken += UInt64(count)
    let unwantedCount = replica.hold(packets, count: count, unwanted: unwanted)
    // Beyond that there is room for gap repair alone.
    simulation.require(replica.heldCount <= simulation.options.replication.held, .bounds) {
      "\(name) holds \(replica.heldCount)"
    }
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
    simulation.trace("\(name): refuses \(simulation.text(packet))")
    simulation.noteLostCopy(packet)
    simulation.giveBack(packet, node.holder, 1, name)
  }

  private func readMessages() -> Int {
    var count = 0
    while count < 8, !inbox.isEmpty {
      let message = inbox.removeFirst()
      let (applied, repeated) = (replica.appliedBatch, replica.counters.repeatedMessages)
      replica.receive(message, make: { simulation.makeRepaired($0, $1, $2, for: self) })
      if replica.counters.repeatedMessages == repeated { received(message, appliedBefore: applied) }
      count += 1
    }
    return count
  }

  private func received(_ message: UnsafeRawBufferPointer, appliedBefore: UInt64) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    switch ControlMessageHeader.Kind(rawValue: header.kind) {
    case .prepare: clocks.append((header.batch, message))
    case .base, .baseEnd: simulation.noteBase(message, by: self)
    default: break
    }
    guard replica.appliedBatch != appliedBefore else { return }
    simulation.require(replica.appliedBatch > appliedBefore, .stateClock) {
      "\(name) goes back from the state clock of batch \(appliedBefore) to that of \(replica.appliedBatch) (R13)"
    }
    simulation.trace("\(name): applies \(header.batch)")
    simulation.noteApplied(message, by: self)
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
    if replica.syncedIsDue, outbox.count < simulation.options.inbox {
      let bytes = simulation.arena.allocate(ControlMessageHeader.byteCount, alignment: 8)
      replica.writeSynced(to: bytes)
      outbox.append(UnsafeRawBufferPointer(start: bytes, count: ControlMessageHeader.byteCount))
      link.ring()
    }
    guard told != (replica.votedBatch, replica.appliedBatch), outbox.count < simulation.options.inbox else { return 0 }
    told = (replica.votedBatch, replica.appliedBatch)
    outbox.append(message(.vote, voted: told.voted, applied: told.applied))
    link.ring()
    return 1
  }

  func message(_ kind: ControlMessageHeader.Kind, voted: UInt64, applied: UInt64) -> UnsafeRawBufferPointer {
    let length = ControlMessageHeader.byteCount + 8
    let bytes = simulation.arena.allocate(length, alignment: 8)
    ControlMessageHeader(
      kind: kind, pair: UInt16(pair), epoch: epoch, batch: voted, length: length
    ).write(to: bytes)
    (bytes + ControlMessageHeader.byteCount).storeBytes(of: applied.littleEndian, as: UInt64.self)
    return UnsafeRawBufferPointer(start: bytes, count: length)
  }

  /// Gap repair, when it is due.
  private func repair() -> Int {
    guard simulation.now >= replica.nextRepair else { return 0 }
    var log = SimulatedLogEnd(log: link.repairToPrimary)
    let unwanted = simulation.otherBuffer.baseAddress!
    let outcome = replica.repairGaps(
      now: simulation.now, inputIsDry: input.isEmpty || replica.room == 0, into: &log, unwanted: unwanted)
    simulation.checkDenials(link.repairToPrimary, by: self)
    settleRepaired(waiting: replica.repairedWaiting, unwanted, outcome.unwanted)
    if outcome.hasMail { link.ring() }
    return outcome.hasMail ? 1 : 0
  }

  private func free() -> Int {
    let packets = simulation.burstBuffer.baseAddress!
    let count = replica.takeFreed(into: packets, capacity: simulation.burstBuffer.count)
    for i in 0..<count {
      simulation.checkCopyFreed(packets[i])
      simulation.giveBack(packets[i], node.holder, 1, name)
    }
    return count
  }
}
