import CDPDK
import DEFTCore
import DEFTMailbox
import Foundation
import Synchronization

/// Makes planned failures in a running pipeline, and does after each what the map's followers do on their hosts: the
/// secondary takes over, the switch's rule changes, a new secondary is brought up while packets flow. The protocol itself is
/// DEFTCore's; here are only the steps, in order, each on the lcore that owns what it changes.
///
/// | after | primary failed | secondary failed |
/// |---|---|---|
/// | crash | the replica runs no more; its connection is cut | same |
/// | `detection` | rule: the secondary's host alone | rule: the primary alone |
/// | | the dead replica's buffers are given back | same |
/// | | takeover (paper, VI-A), once the last copies are in | the primary learns it |
/// | sync | a new host gets copies, then a snapshot (R9) | same |
/// | in sync | the map says so; both replicas learn it | same |
///
/// One thread of its own; one failure after the other. The pipeline is drained only when all planned failures have happened
/// and every pair has two replicas in sync again.
final class FailureDirector<Function: NetworkFunction>: @unchecked Sendable {
  private unowned let pipeline: Pipeline<Function>
  private let links: any ReplicaLinks
  private let clock: LcoreClock
  private let gate: IntakeGate
  /// Tables of the replicas to come: a primary's and a secondary's for each failure.
  private var arenas: [(primary: TableArena, secondary: TableArena)]
  private var map: ClusterMap
  /// By pair: which hosts are in which role, and which comes next.
  private var primaryHost: [Int]
  private var secondaryHost: [Int]
  private var nextHost: [Int]

  private let settled = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)
  private let done = DispatchSemaphore(value: 0)
  private let records = Mutex<[FailureRecord]>([])
  private let defects = Mutex<[String]>([])
  private var hasStarted = false

  /// A step that takes longer than this is given up, and reported. Seconds.
  private static var patience: Double { 10 }

  init(_ pipeline: Pipeline<Function>, links: any ReplicaLinks, clock: LcoreClock) {
    self.pipeline = pipeline
    self.links = links
    self.clock = clock
    gate = pipeline.gate!
    let configuration = pipeline.configuration
    let pairs = configuration.pairs
    primaryHost = Array(repeating: 0, count: pairs)
    secondaryHost = Array(repeating: 1, count: pairs)
    nextHost = Array(repeating: 2, count: pairs)
    let bytes = TableArena.bytes(configuration.replication, layout: pipeline.layout, state: Function.State.self)
    arenas = configuration.failures.map { _ in
      (TableArena(capacity: bytes.primary), TableArena(capacity: bytes.secondary))
    }
    map = ClusterMap(
      pairs: (0..<pairs).map { pair in
        PairAssignment(
          epoch: configuration.replication.epoch, primary: NodeID(0), secondary: NodeID(1), standing: .inSync,
          policy: configuration.replication.policy, egress: NodeID(.max))
      })
    gate.open(until: configuration.failures.first?.packet ?? .max)
  }

  /// Nothing is left to be done.
  var isSettled: Bool { settled.load(ordering: .acquiring) }
  var report: [FailureRecord] { records.withLock { $0 } }
  /// Steps that did not succeed, one line each.
  var violations: [String] { defects.withLock { $0 } }

  func start() {
    hasStarted = true
    let thread = Thread { [self] in
      direct()
      settled.store(true, ordering: .releasing)
      done.signal()
    }
    thread.name = "deft-failures"
    thread.start()
  }

  /// Returns when the director's thread has ended; what it had not begun is reported.
  func stop() {
    guard hasStarted else { return }
    isStopping.store(true, ordering: .releasing)
    done.wait()
    hasStarted = false
  }

  private func direct() {
    let failures = pipeline.configuration.failures
    for (index, failure) in failures.enumerated() {
      guard wait(forEver: true, until: { self.gate.isReached || self.pipeline.isExhausted }), gate.isReached else {
        note(
          "the \(failure.victim.rawValue) was to fail at packet \(failure.packet), but the source ended after \(gate.stamped) packets"
        )
        return gate.open(until: .max)
      }
      do {
        try carryOut(failure, arenas: arenas[index], next: index + 1 < failures.count ? failures[index + 1].packet : .max)
      } catch {
        note("failure of the \(failure.victim.rawValue) of pair \(failure.pair) at packet \(failure.packet): \(error)")
        return gate.open(until: .max)
      }
    }
  }

  private func note(_ text: String) { defects.withLock { $0.append(text) } }

  /// False: it did not come true in time, or the run is being stopped.
  private func wait(forEver: Bool = false, until condition: () -> Bool) -> Bool {
    let started = clock.now()
    while !condition() {
      if isStopping.load(ordering: .acquiring) { return false }
      if !forEver, Double(clock.now() &- started) > Self.patience * 1e9 { return false }
      cd_sleep_us(20)
    }
    return true
  }

  private func onLcore(pair: Int, host: Int, _ body: @escaping () -> Void) {
    pipeline.loops[pipeline.lcore(ofPair: pair, host: host)].orders.give(body)
  }
  private func onStampers(_ body: @escaping () -> Void) {
    pipeline.loops[pipeline.placement.stampers].orders.give(body)
  }

  // MARK: steps

  private func carryOut(
    _ failure: PlannedFailure, arenas: (primary: TableArena, secondary: TableArena), next: UInt64
  ) throws {
    let pair = failure.pair
    var record = FailureRecord(failure: failure)
    let crashed = clock.now()
    let dead = failure.victim == .primary ? primaryHost[pair] : secondaryHost[pair]
    let seat = pipeline.seats[pair][dead]
    let (deadPrimary, deadSecondary) = (seat.pointee.primary, seat.pointee.secondary)
    onLcore(pair: pair, host: dead) {
      seat.pointee.primary = nil
      seat.pointee.secondary = nil
    }
    links.cut(pair: pair)
    gate.open(until: next)
    cd_sleep_us(UInt32(pipeline.configuration.detection / 1000))

    // The map decides; then the rule, the dead replica's buffers, and the survivor.
    let before = map[pair].epoch
    let transition: MapTransition = failure.victim == .primary ? .primaryFailed() : .secondaryFailed
    try propose(transition, pair: pair, ifEpoch: before)
    let survivor = failure.victim == .primary ? secondaryHost[pair] : primaryHost[pair]
    primaryHost[pair] = survivor
    onStampers { [self] in
      for (unit, stamper) in pipeline.stampers.enumerated() {
        stamper.pointee.fabric.assign(
          pair, primary: pipeline.path(unit: unit, pair: pair, host: survivor, toPrimary: true), secondary: nil)
      }
    }
    onLcore(pair: pair, host: dead) {
      deadPrimary?.pointee.abandon()
      deadSecondary?.pointee.abandon()
    }
    let epoch = map[pair].epoch
    if failure.victim == .primary {
      record.copies = takeOver(pair: pair, host: survivor, epoch: epoch, arena: arenas.primary, record: &record)
      settleCloses(pair: pair, host: survivor)
    } else {
      let primary = pipeline.seats[pair][survivor].pointee.primary!
      onLcore(pair: pair, host: survivor) { primary.pointee.replica.secondaryFailed(epoch: epoch) }
    }
    try bringUpSecondary(pair: pair, arena: arenas.secondary)
    record.epoch = map[pair].epoch
    record.unprotected = clock.now() &- crashed
    records.withLock { $0.append(record) }
  }

  private func propose(_ transition: MapTransition, pair: Int, ifEpoch epoch: UInt32) throws {
    if case .refused(let reason) = map.propose(transition, pair: pair, ifEpoch: epoch) {
      throw FailureStepError(text: "the map refused it: \(reason)")
    }
  }

  /// The secondary becomes the primary. Returns how many copies it had to look at.
  private func takeOver(pair: Int, host: Int, epoch: UInt32, arena: TableArena, record: inout FailureRecord) -> Int {
    let seat = pipeline.seats[pair][host]
    let secondary = seat.pointee.secondary!
    let began = clock.now()
    // Nothing is written to these before the sync brings others.
    let idle = MessageRing(capacity: 4096)
    let mailbox = links.mailbox(pair: pair, primaryHost: host, secondaryHost: nextHost[pair])
    var copies = 0
    onLcore(pair: pair, host: host) { [self] in
      secondary.pointee.takeRemainingCopies()
      copies = secondary.pointee.replica.heldCount
      secondary.pointee.addReferenceToHeld()
      let replica = PrimaryReplica<Function, MbufStorage, MessageProducer>(
        takingOver: secondary.pointee.giveUpReplica(), epoch: epoch, function: pipeline.function,
        prepares: MessageProducer(idle, retaining: true), commits: MessageProducer(idle, retaining: true),
        closeCapacity: pipeline.closeCapacity, memory: arena.memory())
      let primary = pipeline.makePrimary(replica, pair: pair, host: host, mailbox: mailbox)
      primary.pointee.isChanging = true
      seat.pointee.secondary = nil
      seat.pointee.primary = primary
    }
    pendingMailbox = mailbox
    let primary = seat.pointee.primary!
    _ = wait { primary.pointee.replica.hasReplayedVoted }
    record.takeover = clock.now() &- began
    return copies
  }
  /// The rings that the survivor already reads votes from.
  private var pendingMailbox: PairMailbox?

  /// The dead primary may have died before it told the stamping units of closes that were committed (R16).
  private func settleCloses(pair: Int, host: Int) {
    var closing: [UInt32] = []
    onStampers { [self] in
      for stamper in pipeline.stampers { closing += stamper.pointee.closingFlows(ofPair: pair) }
    }
    let primary = pipeline.seats[pair][host].pointee.primary!
    onLcore(pair: pair, host: host) {
      for flowID in closing where primary.pointee.replica.isCloseCommitted(flowID) { primary.pointee.returnSlot(flowID) }
    }
  }

  /// A new host gets copies of all that is stamped from now on, and a snapshot of all before.
  private func bringUpSecondary(pair: Int, arena: TableArena) throws {
    let (survivor, newcomer) = (primaryHost[pair], nextHost[pair])
    nextHost[pair] += 1
    secondaryHost[pair] = newcomer
    let primary = pipeline.seats[pair][survivor].pointee.primary!
    guard wait(until: { primary.pointee.replica.maySync }) else {
      throw FailureStepError(text: "what was voted for could not be processed again")
    }
    try propose(.secondaryAdded(NodeID(UInt16(newcomer))), pair: pair, ifEpoch: map[pair].epoch)
    let epoch = map[pair].epoch
    let mailbox = pendingMailbox ?? links.mailbox(pair: pair, primaryHost: survivor, secondaryHost: newcomer)
    pendingMailbox = nil
    var replication = pipeline.replication(ofPair: pair)
    replication.epoch = epoch
    let replica = SecondaryReplica<Function.State, MbufStorage>(
      initialState: Function.initialState, configuration: replication, layout: pipeline.layout, isSyncing: true,
      memory: arena.memory())
    let secondary = pipeline.makeSecondary(replica, pair: pair, host: newcomer, mailbox: mailbox)
    secondary.pointee.isSyncing = true
    let seat = pipeline.seats[pair][newcomer]
    onLcore(pair: pair, host: newcomer) { seat.pointee.secondary = secondary }
    onLcore(pair: pair, host: survivor) { [self] in
      primary.pointee.beginSync(epoch: epoch, mailbox: mailbox, now: clock.now())
    }
    onStampers { [self] in
      for (unit, stamper) in pipeline.stampers.enumerated() {
        stamper.pointee.fabric.assign(
          pair, primary: pipeline.path(unit: unit, pair: pair, host: survivor, toPrimary: true),
          secondary: pipeline.path(unit: unit, pair: pair, host: newcomer, toPrimary: false))
      }
    }
    // What was stamped before the rule changed lies in the primary's rings; once it has taken as much as lies there now, it
    // has all of it.
    onLcore(pair: pair, host: survivor) { primary.pointee.markDrain() }
    try links.join(mailbox, primaryHost: survivor, secondaryHost: newcomer, epoch: epoch)
    guard wait(until: { primary.pointee.replica.isSyncComplete }) else {
      throw FailureStepError(text: "the new secondary is not in sync")
    }
    try propose(.syncFinished, pair: pair, ifEpoch: epoch)
    onLcore(pair: pair, host: newcomer) {
      secondary.pointee.replica.becomeInSync()
      secondary.pointee.isSyncing = false
    }
    onLcore(pair: pair, host: survivor) {
      primary.pointee.replica.becomeProtected()
      primary.pointee.isChanging = false
    }
  }
}

/// A step of a planned failure that did not succeed.
struct FailureStepError: Error, CustomStringConvertible {
  var text: String
  var description: String { text }
}
