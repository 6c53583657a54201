import CDPDK
import DEFTCore
import DEFTMailbox
import Foundation
import Synchronization

/// Makes planned changes in a running pipeline, failures and migrations, and does what the map's followers do on their
/// hosts. The protocol itself is DEFTCore's; here are only the steps, in order, each on the lcore that owns what it changes:
/// those of failures in `ChangeDirector+Failure` and `ChangeDirector+Loss`, those of migrations in `ChangeDirector+Migration`.
///
/// One thread of its own; one change after the other. The pipeline is drained only when all planned changes have happened,
/// every pair has two replicas in sync again and no group moves.
final class ChangeDirector<Function: NetworkFunction>: @unchecked Sendable {
  unowned let pipeline: Pipeline<Function>
  let links: any ReplicaLinks
  let clock: LcoreClock
  let gate: IntakeGate
  /// Tables of the replicas to come: a primary's and a secondary's for each failure.
  private var arenas: [(primary: TableArena, secondary: TableArena)]
  var map: ClusterMap
  /// By pair: the host that comes next.
  var nextHost: [Int]
  /// The lcore that this thread's work is being done on, while it waits.
  private var occupied: Int?

  private let settled = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)
  private let done = DispatchSemaphore(value: 0)
  let failures = Mutex<[FailureRecord]>([])
  let migrations = Mutex<[MigrationRecord]>([])
  private let defects = Mutex<[String]>([])
  private var hasStarted = false

  /// A step that takes longer than this is given up, and reported. Seconds.
  static var patience: Double { 10 }

  init(_ pipeline: Pipeline<Function>, links: any ReplicaLinks, clock: LcoreClock) {
    self.pipeline = pipeline
    self.links = links
    self.clock = clock
    gate = pipeline.gate!
    let configuration = pipeline.configuration
    let pairs = configuration.pairs
    nextHost = Array(repeating: 2, count: pairs)
    let bytes = TableArena.bytes(configuration.replication, layout: pipeline.layout, state: Function.State.self)
    arenas = configuration.failures.map {
      // One that takes over has its secondary's table of flows.
      let primary = bytes.primary + ($0.victim == .pair ? bytes.secondary : 0)
      return (TableArena(capacity: primary), TableArena(capacity: bytes.secondary))
    }
    map = ClusterMap(
      pairs: (0..<pairs).map { pair in
        PairAssignment(
          epoch: configuration.replication.epoch, primary: NodeID(0), secondary: NodeID(1), standing: .inSync,
          policy: configuration.replication.policy, egress: NodeID(.max))
      }, groups: Switch.groupCount)
    gate.open(until: configuration.changes.first?.packet ?? .max)
  }

  /// Nothing is left to be done.
  var isSettled: Bool { settled.load(ordering: .acquiring) }
  var failureReport: [FailureRecord] { failures.withLock { $0 } }
  var migrationReport: [MigrationRecord] { migrations.withLock { $0 } }
  /// Steps that did not succeed, one line each.
  var violations: [String] { defects.withLock { $0 } }

  func start(pinning pin: @escaping @Sendable () -> Void) {
    hasStarted = true
    let thread = Thread { [self] in
      pin()
      cd_thread_wake_promptly()
      direct()
      settled.store(true, ordering: .releasing)
      done.signal()
    }
    thread.name = "deft-changes"
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
    let changes = pipeline.configuration.changes
    var failureCount = 0
    for (index, change) in changes.enumerated() {
      guard wait(forEver: true, until: { self.gate.isReached || self.pipeline.isExhausted }), gate.isReached else {
        note(
          "\(change.name) was planned for packet \(change.packet), but the source ended after \(gate.stamped) packets")
        return gate.open(until: .max)
      }
      let next = index + 1 < changes.count ? changes[index + 1].packet : .max
      do {
        switch change {
        case .failure(let failure):
          failureCount += 1
          let arenas = arenas[failureCount - 1]
          if failure.victim == .pair {
            try carryOutLoss(failure, arenas: arenas, next: next)
          } else {
            try carryOut(failure, arenas: arenas, next: next)
          }
        case .migration(let migration): try carryOut(migration, next: next)
        }
      } catch {
        note("\(change.name) at packet \(change.packet): \(error)")
        return gate.open(until: .max)
      }
    }
  }

  func note(_ text: String) { defects.withLock { $0.append(text) } }

  var isStopped: Bool { isStopping.load(ordering: .acquiring) }

  /// False: it did not come true in time, or the run is being stopped.
  func wait(forEver: Bool = false, until condition: () -> Bool) -> Bool {
    let started = clock.now()
    while !condition() {
      if isStopping.load(ordering: .acquiring) { return false }
      if !forEver, Double(clock.now() &- started) > Self.patience * 1e9 { return false }
      cd_sleep_us(Self.interval)
    }
    return true
  }

  /// How often things are looked at, µs: each look takes the control threads' CPU for some 10 µs.
  static var interval: UInt32 { 100 }

  func onLcore(pair: Int, host: Int, _ body: @escaping () -> Void) {
    on(lcore: pipeline.lcore(ofPair: pair, host: host), body)
  }
  func onStampers(_ body: @escaping () -> Void) { on(lcore: pipeline.placement.stampers, body) }
  func onEgress(_ body: @escaping () -> Void) { on(lcore: pipeline.placement.egress, body) }

  private func on(lcore: Int, _ body: @escaping () -> Void) {
    if occupied == lcore { return body() }
    precondition(occupied == nil, "an lcore would wait for another")
    pipeline.loops[lcore].orders.give(body)
  }

  /// Has `body` run on the lcore that all these replicas and the stampers share, between two of its rounds; on this thread if
  /// they share none. What `body` gives to lcores needs no further waiting then, so that packets wait less.
  func together(_ replicas: [(pair: Int, host: Int)], _ body: @escaping () -> Void) {
    let lcore = pipeline.placement.stampers
    guard replicas.allSatisfy({ pipeline.lcore(ofPair: $0.pair, host: $0.host) == lcore }) else { return body() }
    pipeline.loops[lcore].orders.give { [self] in
      occupied = lcore
      body()
      occupied = nil
    }
  }

  /// A copy of the latencies counted so far, for `LatencyHistogram.longest(from:to:)`.
  func latencies() -> [UInt64] {
    let egress = pipeline.egress
    var counts: [UInt64] = []
    pipeline.loops[pipeline.placement.egress].orders.give { counts = egress.pointee.latency.copy() }
    return counts
  }
}

/// A step of a planned change that did not succeed.
struct ChangeStepError: Error, CustomStringConvertible {
  var text: String
  var description: String { text }
}
