import DEFTCore
import DEFTWire

/// The control connection of a pair, and the control threads at its ends: what `PrimaryPair` and `SecondaryPair` do with
/// TCP. What is under way when it ends is lost; then the primary's node dials again, and the secondary's says what it has
/// voted for and applied (R13).
final class ControlLink {
  enum Direction: Int { case toSecondary, toPrimary }
  unowned let simulation: Simulation
  /// Place in `Simulation.links`.
  let index: Int
  let pair: Int
  let epoch: UInt32
  let prepares: SimulatedLog
  let commits: SimulatedLog
  /// What gap repair says, in both directions.
  let repairToSecondary: SimulatedLog
  let repairToPrimary: SimulatedLog
  private(set) var primary: PrimaryActor?
  private(set) var secondary: SecondaryActor?
  private var isOpen = false
  /// Which connection this is; events of earlier ones are void.
  private(set) var number: UInt64 = 0
  private var arePreparesReady = false
  private var areCommitsReady = false
  private var underWay = [Fifo<UnsafeRawBufferPointer>(), Fifo()]
  private var lastDue: [UInt64] = [0, 0]
  private var isDead = [false, false]
  private var slowUntil: UInt64 = 0
  private var isPumpDue = false
  /// What the secondary's node has read of its lcore's votes.
  private var relayed: (voted: UInt64, applied: UInt64) = (0, 0)
  private(set) var resumes = 0
  /// What its secondary voted for before the map said that it is in sync. It may have died since.
  var earlyVotes: [UInt32: UInt32] = [:]

  init(_ simulation: Simulation, index: Int, pair: Int, epoch: UInt32, isSync: Bool) {
    self.epoch = epoch
    self.simulation = simulation
    self.index = index
    self.pair = pair
    let options = simulation.options
    let stateSize = MemoryLayout<SimulatedFunction.State>.size
    // A sync's log has room for two messages of the snapshot.
    let least = isSync ? 2 * options.replication.longestSnapshotMessage(stateSize: stateSize) : 0
    let move = options.moveInterval > 0 ? options.replication.longestMove(stateSize: stateSize) : 0
    prepares = SimulatedLog(
      capacity: max(max(least, move), options.prepareLog * options.replication.longestPrepare), simulation.arena)
    commits = SimulatedLog(
      capacity: options.commitLog * options.replication.longestCommit(stateSize: stateSize), simulation.arena)
    repairToSecondary = SimulatedLog(capacity: options.repairLog, isRetaining: false, simulation.arena)
    repairToPrimary = SimulatedLog(capacity: options.repairLog, isRetaining: false, simulation.arena)
  }

  /// Both ends are there: the primary's node dials.
  func join(_ primary: PrimaryActor) {
    self.primary = primary
    if secondary != nil { dial(after: 1 + simulation.random.below(simulation.options.controlLatency)) }
  }
  func join(_ secondary: SecondaryActor) {
    self.secondary = secondary
    if primary != nil { dial(after: 1 + simulation.random.below(simulation.options.controlLatency)) }
  }

  /// Nothing is under way, and nothing waits to be sent.
  var isIdle: Bool {
    guard let primary, let secondary else { return true }
    return isOpen && underWay[0].isEmpty && underWay[1].isEmpty && primary.inbox.isEmpty && secondary.inbox.isEmpty
      && prepares.isDrained && commits.isDrained && secondary.outbox.isEmpty
  }

  // MARK: its ends

  var isAlive: Bool { isOpen && primary != nil && secondary != nil }

  /// Nobody needs it any more.
  func close() {
    isOpen = false
    number += 1
    primary = nil
    secondary = nil
  }
  /// What a node that died had sent still arrives; what is sent to it does not, and nobody answers.
  func primaryDied() { primary = nil }
  func secondaryDied() { secondary = nil }

  // MARK: the connection's life

  func dial(after wait: UInt64) {
    simulation.events.add(.linkOpens, at: simulation.now + wait, target: index, payload: number)
  }

  func open(_ number: UInt64) {
    guard number == self.number, !isOpen, let secondary, primary != nil else { return }
    isOpen = true
    // Requests of earlier connections are void (`PrimaryPair.connected`).
    _ = prepares.takeRewind()
    _ = commits.takeRewind()
    (arePreparesReady, areCommitsReady) = (false, false)
    isDead = [false, false]
    readVotes(sending: false)
    send(secondary.message(.resume, voted: relayed.voted, applied: relayed.applied), .toPrimary)
    resumes += 1
    simulation.trace("link \(index) of pair \(pair): open, resume voted \(relayed.voted) applied \(relayed.applied)")
  }

  /// The connection ends. `number`: of that connection only.
  func end(_ number: UInt64) {
    guard isOpen, number == self.number else { return }
    simulation.trace("link \(index) of pair \(pair): ends, \(underWay[0].count) and \(underWay[1].count) messages are lost")
    isOpen = false
    self.number += 1
    for direction in 0...1 { underWay[direction].removeAll() }
    dial(after: 1 + simulation.random.below(simulation.options.controlLatency * 4))
  }

  func die(_ direction: Direction, for time: UInt64) {
    guard isOpen else { return }
    isDead[direction.rawValue] = true
    simulation.trace("link \(index) of pair \(pair): \(direction) is dead")
    simulation.events.add(.linkEnds, at: simulation.now + time, target: index, payload: number)
  }
  func slowDown(for time: UInt64) { slowUntil = simulation.now + time }

  // MARK: messages

  /// A doorbell has been rung.
  func ring() {
    guard !isPumpDue else { return }
    isPumpDue = true
    simulation.events.add(
      .pump, at: simulation.now + 1 + simulation.random.below(simulation.options.controlLatency / 8 + 1), target: index)
  }

  func pump() {
    isPumpDue = false
    readVotes(sending: isOpen)
    readRepair(sending: isOpen)
    guard isOpen, primary != nil else { return }
    if prepares.takeRewind() { arePreparesReady = true }
    if commits.takeRewind() { areCommitsReady = true }
    while arePreparesReady, let message = prepares.read() { send(message, .toSecondary) }
    while areCommitsReady, let message = commits.read() {
      simulation.checkStateClock(message)
      simulation.checkCommitSent(message, pair: pair)
      send(message, .toSecondary)
    }
  }

  /// What a socket takes before its writer has to wait. Prepares, commits and votes are bounded by what they say.
  private static let socketMessages = 16
  private func hasRoom(_ direction: Direction) -> Bool {
    !isOpen || underWay[direction.rawValue].count < ControlLink.socketMessages
  }

  private func readRepair(sending: Bool) {
    while hasRoom(.toPrimary), let message = repairToPrimary.read() {
      if let secondary { simulation.noteRepair(message, by: secondary.name) }
      if sending { send(message, .toPrimary) }
    }
    while hasRoom(.toSecondary), let message = repairToSecondary.read() {
      if let primary { simulation.noteRepair(message, by: primary.name) }
      if sending { send(message, .toSecondary) }
    }
  }

  private func readVotes(sending: Bool) {
    guard let secondary else { return }
    while !secondary.outbox.isEmpty {
      let message = secondary.outbox.removeFirst()
      if let answer = Answer(message) {
        relayed = (max(relayed.voted, answer.voted), max(relayed.applied, answer.applied))
      }
      if sending { send(message, .toPrimary) }
    }
  }

  private func send(_ message: UnsafeRawBufferPointer, _ direction: Direction) {
    guard !isDead[direction.rawValue] else { return }
    let latency = simulation.options.controlLatency
    var due = simulation.now + latency / 2 + simulation.random.below(latency)
    if simulation.now < slowUntil { due += simulation.random.below(latency * 20) }
    due = max(due, lastDue[direction.rawValue])
    lastDue[direction.rawValue] = due
    underWay[direction.rawValue].append(message)
    schedule(direction, due)
  }

  private func schedule(_ direction: Direction, _ due: UInt64) {
    simulation.events.add(.message, at: due, target: index, payload: number << 1 | UInt64(direction.rawValue))
  }

  /// A message comes out, if there is room for it where it goes.
  func deliver(_ payload: UInt64) {
    guard payload >> 1 == number, isOpen, let direction = Direction(rawValue: Int(payload & 1)) else { return }
    guard !underWay[direction.rawValue].isEmpty, !isDead[direction.rawValue] else { return }
    guard let waiting = direction == .toPrimary ? primary?.inbox.count : secondary?.inbox.count else { return }
    guard waiting < simulation.options.inbox else {
      return schedule(direction, simulation.now + simulation.options.pollInterval)
    }
    let message = underWay[direction.rawValue].removeFirst()
    if repairToPrimary.hasMore || repairToSecondary.hasMore { ring() }
    if direction == .toPrimary, let primary {
      primary.inbox.append(message)
      simulation.wake(primary.index)
    } else if let secondary {
      secondary.inbox.append(message)
      simulation.wake(secondary.index)
    }
  }
}

/// What a vote or a resume says.
struct Answer {
  let voted: UInt64
  let applied: UInt64
  /// nil: it is neither.
  init?(_ message: UnsafeRawBufferPointer) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    guard [ControlMessageHeader.Kind.vote.rawValue, ControlMessageHeader.Kind.resume.rawValue].contains(header.kind) else {
      return nil
    }
    voted = header.batch
    applied = UInt64(
      littleEndian: message.loadUnaligned(fromByteOffset: ControlMessageHeader.byteCount, as: UInt64.self))
  }
}
