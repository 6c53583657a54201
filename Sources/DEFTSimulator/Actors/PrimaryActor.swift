import DEFTCore
import DEFTWire

/// A pair's primary between its rings, as `PrimaryStage` is on an lcore. A turn may stop after any of its steps; the next
/// one goes on there.
final class PrimaryActor: ReplicaActor {
  typealias Replica = PrimaryReplica<SimulatedFunction, SimulatedStorage, SimulatedLogEnd>
  enum Step: Int, CaseIterable {
    case messages, acknowledgement, release, retransmit, free, replay, take, close, sync, repair, tell
  }

  unowned let simulation: Simulation
  let index: Int
  let pair: Int
  let node: SimulatedNode
  /// Its bit in the flows' histories; the same as that of the secondary that it was.
  let mark: Int
  /// The epoch in which it became primary: names what it releases.
  let stream: UInt32
  private let storage = UnsafeMutablePointer<Replica>.allocate(capacity: 1)
  var replica: Replica {
    _read { yield storage.pointee }
    _modify { yield &storage.pointee }
  }
  /// To its secondary, if it has one.
  private(set) var link: ControlLink?
  var input = Fifo<Packet>()
  /// From former owners of its groups (R8).
  var forwards = Fifo<Packet>()
  var inbox = Fifo<UnsafeRawBufferPointer>()
  /// Packets that egress has dealt with.
  var acknowledged: UInt64 = 0
  private var acknowledgedBy: UInt32 = 1
  private(set) var isGone = false
  private(set) var isRetiring = false
  /// From and to other pairs' primaries.
  var moveInbox = Fifo<UnsafeRawBufferPointer>()
  let moveLog: SimulatedLog
  private var step = Step.messages
  private var isDry = false
  var tellingAttempt: UInt32 = 0
  var tellingNumber: UInt32 = 0
  /// The sync that the map wants and that has not begun.
  private var wantedSync: PairAssignment?
  private var isDrained = false
  /// Packets taken from the input, and how many must have been before what was in it is through.
  private(set) var taken: UInt64 = 0
  var inputMarks: [UInt64]
  private var drainMark: UInt64?
  /// Packets passed before the sync began: they go without the vote of one that begins only then.
  private(set) var passedBeforeSync: UInt64 = 0
  /// What a secondary has voted for that failed before it was in sync, and that could therefore go.
  private(set) var formerVotes: [UInt32: UInt32] = [:]
  /// What the secondary has said that it does not hold.
  private(set) var denials = Denials()
  /// Per flow, the last packet released, not counting retransmissions (R20).
  var lastReleased: [UInt32: UInt32] = [:]
  /// What gap repair has brought and the replica has not looked at.
  var repaired = Fifo<Packet>()
  /// After it has stepped down: what it has and egress has not, until it is forwarded (R8).
  var unforwarded: [PacketKey: Int] = [:]
  /// When it became a replica of the pair: how often the map had given the pair up, and the units' incarnations.
  let formerLosses: Int
  var firstIncarnations: [UInt32]

  var name: String { "primary \(pair) on \(node.id)" }
  var epoch: UInt32 { replica.configuration.epoch }
  var referencesPerPacket: Int { 2 }

  init(
    _ simulation: Simulation, index: Int, pair: Int, node: SimulatedNode, mark: Int, link: ControlLink?,
    _ replica: consuming Replica
  ) {
    self.simulation = simulation
    self.index = index
    self.pair = pair
    self.node = node
    self.mark = mark
    self.link = link
    stream = replica.configuration.epoch
    formerLosses = Int(node.pairs[pair].losses)
    firstIncarnations = node.incarnations
    inputMarks = [UInt64](repeating: 0, count: simulation.options.units)
    moveLog = SimulatedLog(capacity: 4096, isRetaining: false, simulation.arena)
    storage.initialize(to: replica)
  }
  deinit {
    storage.deinitialize(count: 1)
    storage.deallocate()
  }

  func poll() -> Int {
    var moved = 0
    repeat {
      moved += perform(step)
      guard !isGone else { return moved }
      step = Step(rawValue: step.rawValue + 1) ?? .messages
      simulation.checkPrimaryBounds(self)
      // A former owner forwards as long as it lives (R8).
      if isRetiring, step == .messages {
        moved += forwardUnreleased()
        if !hasMoreToForward, simulation.random.oneIn(2) {
          giveAllBack()
          return moved
        }
      }
    } while step != .messages && !simulation.random.oneIn(simulation.options.interruption)
    return moved
  }

  func perform(_ step: Step) -> Int {
    switch step {
    case .messages: readMessages()
    case .acknowledgement: readAcknowledgement()
    case .release: release()
    case .retransmit: retransmit()
    case .free: free()
    case .replay: replay()
    case .take: thaw() + takeForwarded() + take()
    case .close: close()
    case .sync: sync() + migrate()
    case .repair: repair()
    case .tell: tell()
    }
  }

  // MARK: its life

  /// The map has changed, and names it as primary still.
  func learn(_ assignment: PairAssignment) {
    learn(egressTerm: assignment.egressTerm)
    if assignment.epoch > epoch, assignment.secondary == nil {
      if replica.counters.releasedWhileSyncing > 0, let link { formerVotes.merge(link.earlyVotes) { max($0, $1) } }
      link?.close()
      link = nil
      wantedSync = nil
      // It may have learnt of the secondary that failed without having begun the sync.
      guard replica.standing != .none else { return }
      simulation.occurrences.note(replica.standing == .syncing ? .aloneWhileSyncing : .alone)
      replica.secondaryFailed(epoch: assignment.epoch)
      denials = Denials()
    } else if assignment.epoch > epoch {
      wantedSync = assignment
      simulation.wake(index)
    } else if assignment.standing == .inSync, replica.standing == .syncing {
      simulation.trace("\(name): is protected")
      simulation.occurrences.note(.synced)
      replica.becomeProtected()
    }
  }

  func learn(_ assignment: GroupAssignment, group: Int) {
    guard !isRetiring else { return }
    replica.learn(assignment, group: group)
    simulation.wake(index)
  }

  /// Begins the sync that the map wants as soon as it may, and goes on with one.
  private func sync() -> Int {
    if let wanted = wantedSync, replica.maySync {
      wantedSync = nil
      let link = simulation.link(pair, epoch: wanted.epoch)
      simulation.trace("\(name): begins to sync \(wanted.secondary!)")
      simulation.occurrences.note(.syncBegun)
      let counters = replica.counters
      passedBeforeSync = counters.processed - counters.droppedByFunction + counters.closeMarkers
      replica.beginSync(
        epoch: wanted.epoch, prepares: SimulatedLogEnd(log: link.prepares), commits: SimulatedLogEnd(log: link.commits),
        now: simulation.now)
      self.link = link
      link.join(self)
      isDrained = false
      drainMark = nil
    }
    guard replica.isSyncing else { return 0 }
    lookForDrain()
    if replica.continueSync(now: simulation.now) { link?.ring() }
    if replica.isSyncComplete, simulation.map[pair].epoch == epoch, simulation.map[pair].standing == .syncing {
      simulation.propose(.syncFinished, pair)
    }
    // There is a part of the snapshot to be sent in each turn.
    return 1
  }

  /// Everything that was stamped before the units knew of the new secondary has come in and been taken.
  private func lookForDrain() {
    guard !isDrained else { return }
    if drainMark == nil, simulation.isDrained(pair, epoch: epoch) { drainMark = taken + UInt64(input.count) }
    if let drainMark, taken >= drainMark, forwards.isEmpty {
      isDrained = true
      replica.drained()
    }
  }

  /// Egress's word, and which egress's it is (R12).
  func acknowledge(_ word: UInt64) {
    let (term, count) = (UInt32(word >> 48), word & 0xffff_ffff_ffff)
    if term < replica.egressTerm { simulation.occurrences.note(.staleAcknowledgement) }
    if term > acknowledgedBy { (acknowledgedBy, acknowledged) = (term, 0) }
    if term == acknowledgedBy { acknowledged = max(acknowledged, count) }
  }

  func die() {
    isGone = true
    link?.primaryDied()
  }

  func stepDown() {
    guard !isRetiring else { return }
    simulation.trace("\(name): steps down")
    simulation.occurrences.note(.steppedDown)
    link?.close()
    replica.stepDown()
    isRetiring = true
    replica.forEachUnreleased { unforwarded[PacketKey($0), default: 0] += 1 }
    simulation.wake(index)
  }

  /// What it still has goes back, a few turns after it has stepped down: till then it may do nothing that shows.
  private func giveAllBack() {
    let released = simulation.burstBuffer.baseAddress!
    let kept = simulation.otherBuffer.baseAddress!
    while true {
      let counts = replica.takeAbandoned(released: released, kept: kept, capacity: simulation.burstBuffer.count)
      if counts == (0, 0) { break }
      for i in 0..<counts.released { simulation.giveBack(released[i], node.holder, 1, name) }
      for i in 0..<counts.kept { giveUp(kept[i], isVoted: unforwarded[PacketKey(kept[i])] == nil) }
    }
    while !input.isEmpty { giveUp(input.removeFirst()) }
    while !forwards.isEmpty { giveUp(forwards.removeFirst()) }
    isGone = true
  }

  // MARK: steps

  private func readMessages() -> Int {
    var count = 0
    while !inbox.isEmpty {
      let message = inbox.removeFirst()
      denials.note(message, epoch: epoch)
      if let answer = Answer(message) {
        simulation.trace("\(name): told voted \(answer.voted) applied \(answer.applied)")
      }
      if replica.receive(message, make: { simulation.makeRepaired($0, $1, $2, for: self) }) {
        simulation.occurrences.note(.resumed)
        link?.ring()
      }
      count += 1
    }
    if replica.isSteppedDown { node.abandon(self) }
    return count
  }

  private func readAcknowledgement() -> Int {
    guard replica.acknowledged(acknowledged, byTerm: acknowledgedBy) else { return 0 }
    simulation.checkOwner(self)
    link?.ring()
    return 1
  }

  private func release() -> Int {
    let room = min(simulation.burstBuffer.count, simulation.egress.room(pair))
    guard room > 0, !replica.tellsEgress else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    let first = replica.releaseSequence
    let count = replica.release(into: packets, capacity: room)
    if count > 0 { simulation.checkOwner(self) }
    for i in 0..<count {
      simulation.checkReleased(packets[i], first + UInt64(i), by: self)
      simulation.sendToEgress(packets[i], tag(first + UInt64(i)), from: node.holder, term: replica.egressTerm)
    }
    return count
  }

  private func tag(_ sequence: UInt64) -> ReleaseTag {
    ReleaseTag(pair: pair, stream: stream, sequence: UInt32(truncatingIfNeeded: sequence))
  }

  private func retransmit() -> Int {
    let room = min(8, simulation.egress.room(pair))
    guard room > 0 else { return 0 }
    let packets = simulation.burstBuffer.baseAddress!
    let (count, first) = replica.retransmit(into: packets, capacity: room, now: simulation.now)
    // What a replica that has stepped down would send it may have given back.
    if count > 0 { simulation.checkOwner(self) }
    for i in 0..<count {
      simulation.occurrences.note(.retransmitted)
      simulation.trace("\(name): sends \(simulation.text(packets[i])) again")
      simulation.packets.add(packets[i], node.holder, 1)
      simulation.sendToEgress(packets[i], tag(first + UInt64(i)), from: node.holder, term: replica.egressTerm)
    }
    return count
  }

  private func free() -> Int {
    let capacity = simulation.burstBuffer.count
    let passed = simulation.burstBuffer.baseAddress!
    let dropped = simulation.otherBuffer.baseAddress!
    let (passedCount, droppedCount) = replica.takeFreed(passed: passed, dropped: dropped, capacity: capacity)
    for i in 0..<passedCount {
      simulation.checkFreed(passed[i], isDropped: false, by: self)
      simulation.giveBack(passed[i], node.holder, 1, name)
    }
    for i in 0..<droppedCount {
      simulation.checkFreed(dropped[i], isDropped: true, by: self)
      simulation.giveBack(dropped[i], node.holder, 2, name)
    }
    while let flowID = replica.nextCommittedClose() { simulation.returnSlot(flowID, pair: pair) }
    return passedCount + droppedCount
  }

  /// What it took over comes before its input.
  private func replay() -> Int {
    guard replica.backlogCount > 0 || !replica.hasReplayedVoted else { return 0 }
    let unwanted = simulation.otherBuffer.baseAddress!
    let before = replica.backlogCount
    let count = replica.replay(unwanted: unwanted, capacity: simulation.options.burst * 2, now: simulation.now)
    for i in 0..<count { simulation.giveBack(unwanted[i], node.holder, 2, name) }
    return before - replica.backlogCount + count
  }

  private func take() -> Int {
    let room = min(simulation.options.burst * 2, replica.room)
    isDry = room > 0 && input.isEmpty && forwards.isEmpty
    guard room > 0 else {
      if replica.batchesInFlight >= simulation.options.replication.window {
        simulation.occurrences.note(.windowFull)
      } else if replica.openCount < simulation.options.replication.batch {
        simulation.occurrences.note(.outputBufferFull)
      }
      return 0
    }
    let packets = simulation.burstBuffer.baseAddress!
    let count = min(room, input.count)
    // With a window of one batch that is the paper's algorithm.
    simulation.require(count == 0 || replica.batchesInFlight < simulation.options.replication.window, .bounds) {
      "\(name) takes packets with \(replica.batchesInFlight) batches in flight"
    }
    for i in 0..<count { packets[i] = input.removeFirst() }
    taken += UInt64(count)
    if count > 0 { take(packets, count) }
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
    simulation.trace("\(name): refuses \(simulation.text(packet))")
    simulation.noteLostCopy(packet)
    simulation.giveBack(packet, node.holder, 2, name)
  }

  private func close() -> Int {
    let wasFull = replica.openCount >= simulation.options.replication.batch
    guard replica.closeBatchIfDue(inputIsDry: isDry, now: simulation.now) else { return 0 }
    simulation.checkOwner(self)
    simulation.occurrences.note(wasFull ? .batchFull : isDry ? .batchDry : .batchFlushed)
    link?.ring()
    lookAtPrepares()
    return 1
  }

  /// Gap repair, when it is due.
  private func repair() -> Int {
    guard simulation.now >= replica.nextRepair else { return 0 }
    var log = SimulatedLogEnd(log: link?.repairToSecondary ?? simulation.nowhere)
    let unwanted = simulation.otherBuffer.baseAddress!
    let outcome = replica.repairGaps(
      now: simulation.now, inputIsDry: input.isEmpty && forwards.isEmpty, into: &log, unwanted: unwanted)
    settleRepaired(waiting: replica.repairedWaiting, unwanted, outcome.unwanted)
    for i in 0..<replica.undeclaredLosses { simulation.noteDeclared(replica.undeclaredLoss(i), by: self) }
    if outcome.hasMail { link?.ring() }
    return outcome.hasMail ? 1 : 0
  }

  func lookAtPrepares() {
    guard let prepares = link?.prepares else { return }
    while prepares.seen < prepares.messages.count {
      simulation.checkPrepare(prepares.messages[prepares.seen].bytes, by: self)
      prepares.seen += 1
    }
  }
}
