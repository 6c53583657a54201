import CDPDK
import DEFTCore
import DEFTMailbox
import Synchronization

/// A pipeline of any NF, as the command line and the telemetry see it.
public protocol AnyPipeline: AnyObject, Sendable {
  func start(pinningDirector: @escaping @Sendable () -> Void) throws(DataplaneError)
  /// No packet is received from now on.
  func stopIntake()
  /// The source has ended (or was stopped) and nothing is on its way any more.
  var isDrained: Bool { get }
  /// Ends the lcores; returns when they have.
  func stop()
  /// Runs the main lcore's share when there is no worker lcore; returns after `stop`. Nothing to do otherwise.
  func runOnMainLcoreIfNeeded()
  func report() -> PipelineReport
  /// With digests, latencies and violations; after `stop`.
  func finalReport(drained: Bool) -> PipelineReport
}

/// All stages of one process, joined by rings and placed on lcores. Built once, on the main thread; everything it allocates
/// lives until the process ends.
public final class Pipeline<Function: NetworkFunction>: AnyPipeline, @unchecked Sendable {
  typealias Primary = PrimaryStage<Function>
  typealias Secondary = SecondaryStage<Function.State>

  let configuration: PipelineConfiguration
  let ports: PipelinePorts
  @usableFromInline let loops: UnsafeMutableBufferPointer<LcoreLoop<Function>>
  private let lcoreIsMain: Bool
  @usableFromInline var tasks: [LcoreTask] = []
  private let stopFlag: UnsafeMutablePointer<Atomic<Bool>>
  private let intakeStopped: UnsafeMutablePointer<Atomic<Bool>>

  var distributor: UnsafeMutablePointer<DistributorStage>?
  var stampers: [UnsafeMutablePointer<StamperStage>] = []
  /// By pair, host: where its replicas live.
  var seats: [[UnsafeMutablePointer<ReplicaSeat<Function>>]] = []
  /// Every stage there has been.
  let replicas: ReplicaHistory<Function>
  let function: Function
  let layout: FlowIDLayout
  let rings: PipelineRings
  let placement: StagePlacement
  /// Holders of a packet run on several lcores.
  let isShared: Bool
  /// nil without planned failures.
  let gate: IntakeGate?
  private(set) var director: ChangeDirector<Function>?
  /// By pair: the hosts that are in the roles now. Changed by the director.
  var present: [(primary: Int, secondary: Int)]
  var egress: UnsafeMutablePointer<EgressStage>

  /// - Parameters:
  ///   - lcores: worker lcores, or the main lcore alone.
  ///   - sharesCPU: per lcore, whether control threads or other lcores run on its CPU.
  ///   - mailboxes: one per pair.
  ///   - links: the control plane, where failures are planned.
  public init(
    function: Function, configuration: PipelineConfiguration, ports: PipelinePorts, lcores: [UInt32], isMainLcore: Bool,
    sharesCPU: [Bool], mailboxes: [PairMailbox], links: (any ReplicaLinks)? = nil
  ) throws(DataplaneError) {
    self.configuration = configuration
    self.ports = ports
    lcoreIsMain = isMainLcore
    stopFlag = Self.flag()
    intakeStopped = Self.flag()
    let clock = LcoreClock()
    loops = .allocate(capacity: lcores.count)
    for (index, lcore) in lcores.enumerated() {
      (loops.baseAddress! + index).initialize(
        to: LcoreLoop(
          lcore: lcore, counters: Self.line(LcoreCounters()), clock: clock, stop: stopFlag,
          busyPoll: configuration.busyPoll, sharesCPU: sharesCPU[index]))
    }
    placement = StagePlacement(workers: lcores.count)
    isShared = lcores.count > 1
    layout = FlowIDLayout(units: configuration.stampers, slotsPerUnit: configuration.flowSlots)
    let memory: TableMemory = MbufStorage.tableMemory
    rings = try PipelineRings(configuration)
    self.function = function
    gate = configuration.changes.isEmpty ? nil : IntakeGate()
    present = Array(repeating: (0, 1), count: configuration.pairs)
    replicas = ReplicaHistory(pairs: configuration.pairs, perPair: configuration.failures.count + 1)
    let channels = rings.hosts.flatMap { $0 }.filter { $0.releases != nil }

    let egressCounters = loops[placement.egress].counters
    egress = .allocate(capacity: 1)
    egress.initialize(
      to: EgressStage(
        chain: EgressChain(layout: layout, holdCapacity: configuration.egressHold, memory: memory),
        releases: channels.map { $0.releases! }, acknowledged: channels.map { $0.acknowledged! },
        holdCapacity: configuration.egressHold,
        port: ports.sink, queue: 0, clock: clock, isShared: isShared, measuresLatency: configuration.measuresLatency,
        counters: egressCounters))
    loops[placement.egress].add(egress)

    for pair in 0..<configuration.pairs {
      let mailbox = mailboxes[pair]
      seats.append(
        rings.hosts[pair].indices.map { host in
          let seat = UnsafeMutablePointer<ReplicaSeat<Function>>.allocate(capacity: 1)
          seat.initialize(to: ReplicaSeat())
          loops[lcore(ofPair: pair, host: host)].add(seat)
          return seat
        })
      let replication = replication(ofPair: pair)
      let replica = PrimaryReplica<Function, MbufStorage, MessageProducer>(
        function: function, configuration: replication, layout: layout,
        prepares: MessageProducer(mailbox.prepares, retaining: true),
        commits: MessageProducer(mailbox.commits, retaining: true), closeCapacity: closeCapacity, memory: memory)
      seats[pair][0].pointee.primary = makePrimary(replica, pair: pair, host: 0, mailbox: mailbox)
      guard replication.isReplicated else { continue }
      let copies = SecondaryReplica<Function.State, MbufStorage>(
        initialState: Function.initialState, configuration: replication, layout: layout, memory: memory)
      seats[pair][1].pointee.secondary = makeSecondary(copies, pair: pair, host: 1, mailbox: mailbox)
    }

    let counters = loops[placement.stampers].counters
    let started = clock.now()
    for unit in 0..<configuration.stampers {
      let source = PacketSource(
        port: ports.source, queue: ports.spreadsByFlow ? UInt16(unit) : 0, pace: ports.pace, limit: ports.limit,
        usesCaptureTime: ports.usesCaptureTime)
      let ring = configuration.stampers > 1 && !ports.spreadsByFlow ? rings.toUnit[unit] : nil
      let fabric = Switch(
        layout: layout, pairCount: configuration.pairs, isReplicated: configuration.replication.isReplicated,
        isShared: isShared,
        loss: PacketLoss(probability: configuration.loss, seed: configuration.seed)
      ) { pair, toPrimary in
        path(unit: unit, pair: pair, host: toPrimary ? 0 : 1, toPrimary: toPrimary)
      }
      let stamper = UnsafeMutablePointer<StamperStage>.allocate(capacity: 1)
      stamper.initialize(
        to: StamperStage(
          input: StamperInput(source: source, ring: ring, now: started, stopped: intakeStopped),
          unit: StampingUnit(
            unit: unit, layout: layout, seed: configuration.seed, idleTimeout: configuration.idleTimeout, memory: memory
          ),
          fabric: fabric, clock: clock, pool: ports.pool,
          committedCloses: rings.hosts.flatMap { $0 }.compactMap { $0.closes.isEmpty ? nil : $0.closes[unit] },
          mirrorPort: ports.mirror, servicePath: configuration.servicePath, gate: gate,
          longestShuffle: configuration.longestShuffle, counters: counters))
      loops[placement.stampers].add(stamper)
      stampers.append(stamper)
      if ring != nil, distributor == nil {
        let stage = UnsafeMutablePointer<DistributorStage>.allocate(capacity: 1)
        stage.initialize(
          to: DistributorStage(
            input: StamperInput(source: source, ring: nil, now: started, stopped: intakeStopped), rings: rings.toUnit,
            seed: configuration.seed ^ 0x5555_5555, counters: counters))
        loops[placement.stampers].add(stage)
        distributor = stage
      }
    }
    if let links, !configuration.changes.isEmpty {
      let director = ChangeDirector(self, links: links, clock: clock)
      prepareMigrations(director.map)
      self.director = director
    }
  }

  // MARK: replicas

  var closeCapacity: Int { configuration.stampers * StampingUnit.maximumClosing }

  func replication(ofPair pair: Int) -> ReplicationConfiguration {
    var replication = configuration.replication
    replication.pair = UInt16(pair)
    // What the paths reorder or double lies in front of the rings.
    replication.inputCapacity = configuration.inputBuffer + 2 * configuration.reorder * configuration.stampers
    return replication
  }

  /// Index of the worker lcore that a host's replicas run on.
  func lcore(ofPair pair: Int, host: Int) -> Int {
    host % 2 == 0 ? placement.primary(pair) : placement.secondary(pair)
  }

  /// The way from a unit to a host, in a role.
  func path(unit: Int, pair: Int, host: Int, toPrimary: Bool) -> FabricPath {
    let rings = rings.hosts[pair][host]
    return FabricPath(
      ring: toPrimary ? rings.originals[unit] : rings.copies[unit],
      references: toPrimary && configuration.replication.isReplicated ? 2 : 1, waiting: rings.waiting,
      pendingLimit: configuration.pendingLimit, reorder: configuration.reorder,
      duplicate: configuration.duplicate,
      seed: configuration.seed &+ UInt64(unit * 1000 + pair * 2 + (toPrimary ? 1 : 2) + host / 2 * 1_000_000),
      pool: ports.pool)
  }

  func makePrimary(
    _ replica: consuming PrimaryReplica<Function, MbufStorage, MessageProducer>, pair: Int, host: Int,
    mailbox: PairMailbox
  ) -> UnsafeMutablePointer<Primary> {
    let rings = rings.hosts[pair][host]
    let stage = UnsafeMutablePointer<Primary>.allocate(capacity: 1)
    stage.initialize(
      to: PrimaryStage(
        replica: replica, inputs: rings.originals, forwards: rings.forwardedOriginals.compactMap { $0 },
        releases: rings.releases!,
        closeRings: rings.closes, layout: layout,
        acknowledged: rings.acknowledged!, waiting: rings.waiting, votes: MessageConsumer(mailbox.votesIn),
        repairs: MessageProducer(mailbox.repairs, retaining: false), repaired: RepairedPackets(pool: ports.pool),
        doorbell: mailbox.primaryDoorbell, moveLinks: configuration.migrations.isEmpty ? 0 : configuration.pairs,
        isShared: isShared, counters: loops[lcore(ofPair: pair, host: host)].counters))
    replicas.add(primary: stage, pair: pair)
    return stage
  }

  func makeSecondary(
    _ replica: consuming SecondaryReplica<Function.State, MbufStorage>, pair: Int, host: Int, mailbox: PairMailbox
  ) -> UnsafeMutablePointer<Secondary> {
    let stage = UnsafeMutablePointer<Secondary>.allocate(capacity: 1)
    stage.initialize(
      to: SecondaryStage(
        replica: replica,
        inputs: rings.hosts[pair][host].copies + rings.hosts[pair][host].forwardedCopies.compactMap { $0 },
        waiting: rings.hosts[pair][host].waiting,
        messages: MessageConsumer(mailbox.messagesIn),
        votes: MessageProducer(mailbox.votesOut, retaining: false), repaired: RepairedPackets(pool: ports.pool),
        doorbell: mailbox.secondaryDoorbell, isShared: isShared))
    replicas.add(secondary: stage, pair: pair)
    return stage
  }

  private static func flag() -> UnsafeMutablePointer<Atomic<Bool>> {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    let flag = memory.bindMemory(to: Atomic<Bool>.self, capacity: 1)
    flag.initialize(to: Atomic(false))
    return flag
  }
  /// A value on cache lines of its own.
  private static func line<T: BitwiseCopyable>(_ value: T) -> UnsafeMutablePointer<T> {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(128, MemoryLayout<T>.stride), alignment: 128)
    return memory.initializeMemory(as: T.self, repeating: value, count: 1)
  }

  // MARK: running

  /// Binds each lcore to its loop. To be called where `Function` is a known type: there, and only there, the compiler makes
  /// the loop for it, without generic calls in it.
  @inlinable
  public func bindLcores() {
    tasks = loops.indices.map { index in
      let loop = loops.baseAddress! + index
      return LcoreTask { loop.pointee.run() }
    }
  }

  /// - Parameter pinningDirector: called on the thread that carries out planned changes, if there are any: where an lcore
  ///   polls it would wait for a tick of the clock, and the lcore for it.
  public func start(pinningDirector: @escaping @Sendable () -> Void) throws(DataplaneError) {
    precondition(tasks.count == loops.count, "bindLcores comes before start")
    for (index, task) in tasks.enumerated() where !lcoreIsMain {
      guard task.launch(on: loops[index].lcore) else { throw .lcoreBusy(loops[index].lcore) }
    }
    director?.start(pinning: pinningDirector)
  }
  public func runOnMainLcoreIfNeeded() {
    if lcoreIsMain { tasks[0].run() }
  }
  public func stopIntake() { intakeStopped.pointee.store(true, ordering: .releasing) }
  public func stop() {
    director?.stop()
    stopFlag.pointee.store(true, ordering: .releasing)
    guard !lcoreIsMain else { return }
    for loop in loops.indices { _ = cd_lcore_wait(loops[loop].lcore) }
  }
}
