import DEFTCore
import DEFTWire

/// One run: stamping units, nodes with the pairs' replicas, control links and egress in virtual time, with what goes wrong.
/// One seed gives everything. First packets flow and faults strike, and every step is checked; then nothing fails any more,
/// and everything has to come to its end within a bound.
public final class Simulation {
  public let options: SimulationOptions
  public private(set) var violation: Violation?
  public internal(set) var occurrences = Occurrences()
  public internal(set) var now: UInt64 = 0
  public internal(set) var stamped = 0
  public internal(set) var transmitted = 0
  public private(set) var eventCount: UInt64 = 0

  let arena: SimulationArena
  let packets: PacketMemory
  let layout: FlowIDLayout
  var random: SeededGenerator
  var events = EventQueue()
  var hasFaults = true

  var actors: [any Actor] = []
  var turns: [Turn] = []
  /// A scenario says what happens: nothing does by itself.
  let isDirected: Bool
  var stampers: [StamperActor] = []
  /// By unit and flow group: the latest incarnation that knows what became of its predecessor's flows.
  var resolvedBy: [[UInt32]]
  /// Flows of failed units of which packets that were stamped never were.
  var cutFlows: Set<UInt32> = []
  var nodes: [SimulatedNode] = []
  var links: [ControlLink] = []
  var egress: EgressActor!
  /// On their way to an egress.
  var tellings: [Telling] = []
  var tellingDue: UInt64 = 0
  /// What the nodes have agreed on.
  var map: ClusterMap
  /// Changes that a receiver has not learnt yet: the nodes, then the stamping units.
  var notices: [Fifo<MapNotice>] = []
  /// Who owned a pair in each epoch by the map, and which actor has acted as its owner.
  var owners: [Ownership: NodeID] = [:]
  var actingOwners: [Ownership: Int] = [:]
  var checkedOwner: (place: Ownership, actor: Int)?
  /// Whoever leads the moves of flow groups, by group.
  var leaders: [GroupMigration?]
  /// Proposals on their way to the map, by group.
  var proposalsUnderWay: [Int]
  /// Messages of moves under way; events name them by their place.
  var moveMessages: [MoveMessage] = []
  /// Pairs whose primary is dead, without anybody yet who could begin in its place.
  var lostPairs: Set<Int> = []
  /// By flow index: the latest floor that a unit has told of (`PrimaryReplica+Restart.swift`).
  var floors: [Int: UInt32] = [:]
  /// All that any unit has told of: a replica of an earlier loss may send its own to one that has not learnt of the next.
  var everFloors: Set<UInt32> = []
  /// Nodes that the failure detector is about to report.
  var suspected: Set<NodeID> = []
  /// Replicas that each pair has had; and that the map has named for it, of which some may not have learnt so. Of those a pair
  /// can have a bounded number (`replicasPerPair`): counted when they begin, so many could be under way that none is left
  /// for a pair that has lost its secondary, which then waits for ever.
  var marks: [Int]
  var named: [Int]
  /// By pair.
  var primaryPaths: [PacketPath] = []
  var secondaryPaths: [PacketPath] = []
  var releasePaths: [PacketPath] = []
  /// Packets under way; events name them by their place.
  var flights: [Flight] = []
  var freeFlights: [Int] = []
  var underWay: Set<Int> = []
  /// The flow generations by flow index, the latest last.
  private var flows: [[FlowHistory]]
  /// The log of a replica that has no peer.
  let nowhere: SimulatedLog
  /// Arrays for one burst; no two actors use them at a time.
  let burstBuffer: UnsafeMutableBufferPointer<Packet>
  let otherBuffer: UnsafeMutableBufferPointer<Packet>
  private let print: ((String) -> Void)?
  /// Packets that gap repair has brought to a replica that lacked them.
  var repaired: UInt64 = 0
  /// Progress at the last look, and when it last grew.
  var progress = (sum: UInt64(0), since: UInt64(0))
  var isDone = false

  init(
    _ options: SimulationOptions, arena: SimulationArena, isDirected: Bool = false, print: ((String) -> Void)? = nil
  ) {
    self.options = options
    self.isDirected = isDirected
    self.arena = arena
    self.print = print
    packets = PacketMemory(arena)
    layout = FlowIDLayout(units: options.units, slotsPerUnit: options.slotsPerUnit)
    random = SeededGenerator(seed: options.seed)
    flows = [[FlowHistory]](repeating: [], count: layout.indexCount)
    let capacity = max(256, ReplicationConfiguration.repairBurst)
    let bytes = capacity * MemoryLayout<Packet>.stride
    func burst() -> UnsafeMutableBufferPointer<Packet> {
      UnsafeMutableBufferPointer(
        start: arena.allocate(bytes).bindMemory(to: Packet.self, capacity: capacity), count: capacity)
    }
    nowhere = SimulatedLog(capacity: 0, isRetaining: false, arena)
    burstBuffer = burst()
    otherBuffer = burst()
    resolvedBy = [[UInt32]](
      repeating: [UInt32](repeating: 1, count: options.replication.flowGroups), count: options.units)
    marks = [Int](repeating: 0, count: options.pairs)
    named = [Int](repeating: 2, count: options.pairs)
    var random = random
    func place(_ pair: Int) -> (Int, Int) {
      if isDirected { return (2 * pair, 2 * pair + 1) }
      let primary = random.below(options.nodes)
      return (primary, (primary + 1 + random.below(options.nodes - 1)) % options.nodes)
    }
    map = ClusterMap(
      pairs: (0..<options.pairs).map { pair in
        let (primary, secondary) = place(pair)
        return PairAssignment(
          primary: NodeID(UInt16(primary)), secondary: NodeID(UInt16(secondary)), standing: .inSync,
          policy: options.replication.policy, egress: NodeID(UInt16(options.nodes)))
      }, units: options.units, groups: options.replication.flowGroups)
    proposalsUnderWay = [Int](repeating: 0, count: options.replication.flowGroups)
    leaders = [GroupMigration?](repeating: nil, count: options.replication.flowGroups)
    build()
  }

  private func build() {
    nodes = (0..<options.nodes).map { SimulatedNode(self, id: NodeID(UInt16($0)), pairs: options.pairs) }
    for pair in 0..<options.pairs {
      primaryPaths.append(PacketPath(to: .primary, pair: pair))
      secondaryPaths.append(PacketPath(to: .secondary, pair: pair))
      releasePaths.append(PacketPath(to: .egress, pair: pair))
      makePair(pair)
    }
    egress = EgressActor(
      self, index: actors.count, number: 1, terms: [UInt32](repeating: 1, count: options.pairs))
    add(egress)
    for unit in 0..<options.units {
      let keys = (0..<options.keys).filter { $0 % options.units == unit }
      let stamper = StamperActor(
        self, index: actors.count, unit: unit, keys: keys, packets: options.packets / options.units + 1, incarnation: 1)
      add(stamper)
      stampers.append(stamper)
    }
    notices = [Fifo<MapNotice>](repeating: Fifo(), count: options.nodes + options.units)
  }

  func add(_ actor: any Actor) {
    actors.append(actor)
    turns.append(Turn())
    wake(actor.index)
  }

  // MARK: the run

  func run() {
    events.add(.fault, at: random.around(options.faultInterval), target: 0)
    if options.moveInterval > 0 { events.add(.move, at: random.around(options.moveInterval), target: 0) }
    // Faults last as long as the packets, and then some.
    let length = UInt64(options.packets / options.units / options.burst + 1) * options.burstGap * 2
    events.add(.heal, at: length / 2 + random.below(length + options.controlLatency * 20), target: 0)
    while violation == nil, !isDone, let event = events.next() {
      now = event.time
      eventCount += 1
      handle(event)
    }
    if violation == nil { checkPacketMemory(atEnd: true) }
    finish()
  }

  /// Everything goes on by itself for a while.
  func run(until end: UInt64) {
    for index in actors.indices where !actors[index].isGone { wake(index) }
    while violation == nil, let event = events.next() {
      guard event.time <= end else {
        events.add(event.kind, at: event.time, target: Int(event.target), payload: event.payload)
        break
      }
      now = max(now, event.time)
      handle(event)
    }
    now = max(now, end)
  }

  /// Nothing fails any more, and everything goes on by itself until it has come to its end.
  func settle() {
    heal()
    while violation == nil, !isDone, let event = events.next() {
      now = max(now, event.time)
      handle(event)
    }
    if violation == nil { checkPacketMemory(atEnd: true) }
  }

  func finish() {
    // Links and replicas know each other.
    for link in links { link.close() }
  }

  func handle(_ event: Event) {
    let target = Int(event.target)
    switch event.kind {
    case .poll: poll(target)
    case .arrival: arrive(target)
    case .pump: links[target].pump()
    case .message: links[target].deliver(event.payload)
    case .linkEnds: links[target].end(event.payload)
    case .linkOpens: links[target].open(event.payload)
    case .closeNotice: stampers[target].closeCommitted(UInt32(event.payload))
    case .acknowledgement: (actors[target] as? PrimaryActor)?.acknowledge(event.payload)
    case .telling: arrive(tellings[target])
    case .told: (actors[target] as? PrimaryActor)?.learnTold(event.payload)
    case .egressSuspicion: replaceEgress()
    case .fault: strike()
    case .suspicion: suspect(target)
    case .repairMap: repairMap(target)
    case .mapNotice: learn(target)
    case .restart: nodes[target].restart()
    case .heal: heal()
    case .move: beginMove()
    case .lead: lead(target)
    case .groupProposal: decide(target, event.payload)
    case .moveMessage: deliverMove(target)
    case .check: lookForTheEnd()
    }
  }

  private func poll(_ index: Int) {
    guard turns[index].due == now, !actors[index].isGone else { return }
    if now < turns[index].stalledUntil { return schedule(index, turns[index].stalledUntil) }
    let moved = actors[index].poll()
    // A stage that finds nothing looks less and less often: only the run's speed depends on it.
    turns[index].idle = moved > 0 ? 0 : min(turns[index].idle + 1, 5)
    let interval = options.pollInterval
    schedule(index, now + 1 + interval / 2 + random.below(interval << UInt64(turns[index].idle)))
  }

  private func schedule(_ index: Int, _ time: UInt64) {
    turns[index].due = time
    events.add(.poll, at: time, target: index)
  }

  /// Something has come for the actor.
  func wake(_ index: Int) {
    let due = now + 1 + random.below(options.pollInterval)
    guard turns[index].due <= now || turns[index].due > due else { return }
    turns[index].idle = 0
    schedule(index, max(due, turns[index].stalledUntil))
  }

  // MARK: the end

  private func heal() {
    hasFaults = false
    trace("--- no more faults")
    for index in turns.indices where !actors[index].isGone {
      turns[index].stalledUntil = 0
      wake(index)
    }
    for node in nodes { node.restart() }
    progress.since = now
    events.add(.check, at: now + options.patience / 64, target: 0)
  }

  // MARK: what went wrong

  func fail(_ property: Property, _ detail: @autoclosure () -> String) {
    guard violation == nil else { return }
    violation = Violation(property: property, detail: detail(), time: now)
    trace("VIOLATION: \(property.rawValue): \(violation!.detail)")
  }

  func require(_ condition: Bool, _ property: Property, _ detail: () -> String) {
    if !condition { fail(property, detail()) }
  }

  var isTraced: Bool { print != nil }
  func trace(_ line: @autoclosure () -> String) {
    if let print { print("\(now) \(line())") }
  }

  func text(_ packet: Packet) -> String { "(\(packet.pointee.flowID), \(packet.pointee.counter))" }

  // MARK: flows

  func flow(_ flowID: UInt32) -> FlowHistory? {
    for flow in flows[layout.index(flowID)].reversed() where flow.flowID == flowID { return flow }
    return nil
  }
  var allFlows: [[FlowHistory]] { flows }
  /// The latest generation of a flow index, of which nobody knows: it never was.
  func forgetFlow(at index: Int) { flows[index].removeLast() }
  func add(_ flow: FlowHistory) { flows[layout.index(flow.flowID)].append(flow) }
  func group(_ flowID: UInt32) -> Int { layout.index(flowID) & (map.groupCount - 1) }
  /// By the map.
  func pair(_ flowID: UInt32) -> Int { map.group(group(flowID)).pair }
}
