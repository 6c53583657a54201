import DEFTWire

@testable import DEFTCore

/// Several pairs, a switch and egress: flow groups move between the pairs while packets flow, are reordered, doubled and
/// lost on one of their two ways, and while replicas fail. No new secondaries; nothing is lost for good.
final class MigrationHarness {
  typealias Primary = PrimaryReplica<ScriptedFunction, PlainStorage, BookLog>
  typealias Secondary = SecondaryReplica<ScriptedFunction.State, PlainStorage>
  enum Notice {
    case pair(Int, PairAssignment)
    case group(Int, GroupAssignment)
  }

  /// A replica and what is around it.
  final class Seat {
    let id: NodeID
    let pair: Int
    var primary: UnsafeMutablePointer<Primary>?
    var secondary: UnsafeMutablePointer<Secondary>?
    var input: [Packet] = []
    /// From former owners, to a primary.
    var forwards: [Packet] = []
    /// From the other replica of the pair, and from other pairs' primaries.
    var mail: [[UInt8]] = []
    var moveMail: [[UInt8]] = []
    var notices: [Notice] = []
    var isDead = false
    var told: (voted: UInt64, applied: UInt64) = (0, 0)
    var stream: UInt32
    let prepares: LogBook
    let commits: LogBook
    /// To the other replica, and to other pairs; they keep nothing.
    let repairs: LogBook
    let moves: LogBook
    init(_ id: NodeID, pair: Int, stream: UInt32, _ logs: (prepares: Int, commits: Int)) {
      self.id = id
      self.pair = pair
      self.stream = stream
      prepares = LogBook(capacity: logs.prepares)
      commits = LogBook(capacity: logs.commits)
      repairs = LogBook(capacity: 1 << 20, isRetaining: false)
      moves = LogBook(capacity: 1 << 20, isRetaining: false)
    }
    deinit {
      primary?.deinitialize(count: 1).deallocate()
      secondary?.deinitialize(count: 1).deallocate()
    }
  }

  let options: HarnessOptions
  let pairs: Int
  let layout: FlowIDLayout
  let bank = PacketBank()
  let arena = TableArena()
  var random: SeededGenerator
  var now: UInt64 = 1_000
  var map: ClusterMap
  var seats: [Seat] = []
  /// What the switch has learnt, and what it has not.
  var rules: [GroupAssignment]
  var assignments: [PairAssignment]
  var switchNotices: [Notice] = []
  var migrations: [Int: GroupMigration] = [:]
  var egress: EgressChain<PlainStorage>
  let ledgers: UnsafeMutablePointer<ReleaseLedger>
  /// With the term of the pair's egress that it was released to (R12).
  var toEgress: [(packet: Packet, tag: ReleaseTag, term: UInt32)] = []
  /// By pair.
  var beginnings: [EgressBeginning]
  var told: [[Int: EgressEntry]]
  /// Pairs whose word does not reach egress.
  var unheard: Set<Int> = []
  var runs: [UInt32: SequentialRun] = [:]
  var stamped = 0
  var transmitted = 0
  var violation: String?
  /// Somebody leads the moves.
  var isLed = true
  var outcomes: [GroupMigration.Phase: Int] = [:]
  /// One in so many packets is lost on one of its ways; messages of moves likewise.
  var losses = 0
  var moveLosses = 0
  var expectedLost: UInt64 = 0
  /// Packets declared lost, on any replica.
  var lost: UInt64 {
    seats.reduce(0) { $0 + ($1.primary?.pointee.counters.repair.lost ?? 0) }
  }

  init(_ options: HarnessOptions, pairs: Int = 2, seed: UInt64 = 1) {
    self.options = options
    self.pairs = pairs
    layout = FlowIDLayout(units: 1, slotsPerUnit: options.slots)
    random = SeededGenerator(seed: seed)
    let policy = options.replication.policy
    map = ClusterMap(
      pairs: (0..<pairs).map {
        PairAssignment(
          epoch: options.replication.epoch, primary: NodeID(UInt16(2 * $0)), secondary: NodeID(UInt16(2 * $0 + 1)),
          standing: .inSync, policy: policy, egress: NodeID(999))
      }, groups: options.replication.flowGroups)
    rules = (0..<map.groupCount).map { [map] in map.group($0) }
    assignments = (0..<pairs).map { [map] in map[$0] }
    egress = EgressChain(layout: layout, holdCapacity: options.egressHold, memory: arena.allocate)
    beginnings = [EgressBeginning](repeating: EgressBeginning(term: 1), count: pairs)
    told = [[Int: EgressEntry]](repeating: [:], count: pairs)
    ledgers = .allocate(capacity: pairs)
    for pair in 0..<pairs { (ledgers + pair).initialize(to: ReleaseLedger(capacity: 64, memory: arena.allocate)) }
    for pair in 0..<pairs { makePair(pair) }
  }
  deinit {
    ledgers.deinitialize(count: pairs)
    ledgers.deallocate()
  }

  private func makePair(_ pair: Int) {
    var replication = options.replication
    replication.pair = UInt16(pair)
    let stateSize = MemoryLayout<ScriptedFunction.State>.size
    let longest = max(replication.longestPrepare, replication.longestMove(stateSize: stateSize))
    let logs = (options.prepareLog * longest, options.commitLog * replication.longestCommit(stateSize: stateSize))
    let first = Seat(map[pair].primary, pair: pair, stream: replication.epoch, logs)
    first.primary = .allocate(capacity: 1)
    first.primary!.initialize(
      to: Primary(
        function: options.function, configuration: replication, layout: layout, prepares: BookLog(book: first.prepares),
        commits: BookLog(book: first.commits), closeCapacity: options.slots, memory: arena.allocate))
    let second = Seat(map[pair].secondary!, pair: pair, stream: 0, logs)
    second.secondary = .allocate(capacity: 1)
    second.secondary!.initialize(
      to: Secondary(
        initialState: ScriptedFunction.initialState, configuration: replication, layout: layout, memory: arena.allocate))
    seats += [first, second]
  }

  func fail(_ what: String) {
    guard violation == nil else { return }
    let full = seats.map { $0.primary?.pointee.counters.pendingFull ?? $0.secondary!.pointee.counters.pendingFull }
    violation = "\(what) (declared lost \(lost), pendingList full \(full))"
  }
  func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { fail(what()) }
  }
  func giveBack(_ packet: Packet, _ references: Int, _ who: String) {
    require(bank.giveBack(packet, references), "\(who) gives back a reference that it does not have")
  }
  func seat(_ id: NodeID) -> Seat { seats[Int(id.rawValue)] }
  /// By the map.
  func primary(_ pair: Int) -> Seat { seat(map[pair].primary) }
  func secondary(_ pair: Int) -> Seat? { map[pair].secondary.map(seat) }
  func flowID(_ key: Int) -> UInt32 { layout.first(unit: 0, slot: key) }
  func group(_ flowID: UInt32) -> Int { layout.index(flowID) & (map.groupCount - 1) }

  // MARK: packets

  func stamp(_ key: Int, word: UInt64 = 0xff) {
    let flowID = flowID(key)
    if runs[flowID] == nil { runs[flowID] = SequentialRun(flowID: flowID, first: Stamp.firstCounter) }
    let counter = runs[flowID]!.next
    runs[flowID]!.stamp(word, time: now, options.function)
    let metadata = PacketMetadata(time: now, flowID: flowID, counter: counter, layout: .opaque)
    let rule = assignments[rules[group(flowID)].pair]
    let victim = random.oneIn(losses) ? random.below(2) : 2
    let isAlone = rule.secondary == nil
    if victim != 0 || isAlone { send(metadata, word, to: seat(rule.primary), references: 2) }
    if !isAlone, victim != 1 { send(metadata, word, to: seat(rule.secondary!), references: 1) }
    stamped += 1
  }
  func send(
    _ metadata: PacketMetadata, _ word: UInt64, to seat: Seat, references: Int, isForwarded: Bool = false
  ) {
    guard !seat.isDead else { return }
    let needed = seat.primary != nil ? 2 : 1
    let block = references == 2 ? options.primaryBlock : options.secondaryBlock
    for _ in 0...(random.oneIn(options.doubles) ? 1 : 0) {
      let packet = bank.make(metadata, content: (word, 0), references: needed)
      if isForwarded, seat.primary != nil {
        seat.forwards.append(packet)
      } else {
        seat.input.insert(packet, at: max(0, seat.input.count - random.below(block)))
      }
    }
  }

  func deliver(_ seat: Seat, _ most: Int = .max) {
    guard !seat.isDead else { return }
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: 512)
    if seat.primary != nil {
      var count = seat.primary!.pointee.replay(unwanted: &unwanted, capacity: 16, now: now)
      for packet in unwanted[..<count] { giveBack(packet, 2, "the backlog") }
      count = seat.primary!.pointee.thaw(unwanted: &unwanted, capacity: 16, now: now)
      for packet in unwanted[..<count] { giveBack(packet, 2, "a group that thaws") }
      let forwarded = Array(seat.forwards.prefix(min(most, seat.primary!.pointee.forwardedRoom)))
      seat.forwards.removeFirst(forwarded.count)
      count = seat.primary!.pointee.processForwarded(
        forwarded, count: forwarded.count, unwanted: &unwanted, now: now)
      for packet in unwanted[..<count] { giveBack(packet, 2, "what was forwarded") }
      let packets = take(min(most, seat.primary!.pointee.room), of: seat)
      guard !packets.isEmpty else { return }
      count = seat.primary!.pointee.process(packets, count: packets.count, unwanted: &unwanted, now: now)
      for packet in unwanted[..<count] { giveBack(packet, 2, "a primary's input") }
    } else {
      var count = seat.secondary!.pointee.thaw(unwanted: &unwanted, capacity: 16)
      for packet in unwanted[..<count] { giveBack(packet, 1, "a group that thaws") }
      let packets = take(min(most, seat.secondary!.pointee.room), of: seat)
      guard !packets.isEmpty else { return }
      count = seat.secondary!.pointee.hold(packets, count: packets.count, unwanted: &unwanted)
      for packet in unwanted[..<count] { giveBack(packet, 1, "a secondary's input") }
    }
  }
  private func take(_ most: Int, of seat: Seat) -> [Packet] {
    let count = min(most, seat.input.count)
    let packets = Array(seat.input[..<max(0, count)])
    seat.input.removeFirst(packets.count)
    return packets
  }

  /// R8: to both replicas of the pair that owns the group, as far as this seat knows.
  func forward(_ seat: Seat, _ most: Int = 8) {
    guard !seat.isDead else { return }
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: most)
    let count =
      seat.primary != nil
      ? seat.primary!.pointee.takeForwarded(into: &packets, capacity: most)
      : seat.secondary!.pointee.takeForwarded(into: &packets, capacity: most)
    for packet in packets[..<count] {
      let owner = map[map.group(group(packet.pointee.flowID)).pair]
      let word = TestPacket.of(packet).pointee.content.0
      send(packet.pointee, word, to: self.seat(owner.primary), references: 2, isForwarded: true)
      if let other = owner.secondary {
        send(packet.pointee, word, to: self.seat(other), references: 1, isForwarded: true)
      }
      giveBack(packet, seat.primary != nil ? 2 : 1, "a former owner")
    }
  }

  func release(_ seat: Seat, _ most: Int = 64) {
    guard seat.primary != nil, !seat.isDead, !seat.primary!.pointee.tellsEgress else { return }
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: most)
    let first = seat.primary!.pointee.releaseSequence
    let count = seat.primary!.pointee.release(into: &packets, capacity: most)
    for (offset, packet) in packets[..<count].enumerated() {
      let tag = ReleaseTag(
        pair: seat.pair, stream: seat.stream, sequence: UInt32(truncatingIfNeeded: first) &+ UInt32(offset))
      toEgress.append((bank.copy(packet, references: 1), tag, seat.primary!.pointee.egressTerm))
      giveBack(packet, 1, "the way to egress")
    }
  }

  func runEgress(_ most: Int = 64) {
    for _ in 0..<min(most, toEgress.count) {
      let place = random.below(min(options.egressWindow, toEgress.count))
      let beginning = beginnings[Int(toEgress[place].tag.pair)]
      guard beginning.isTold || toEgress[place].term < beginning.term else { continue }
      let (packet, tag, term) = toEgress.remove(at: place)
      guard term == beginning.term else {
        giveBack(packet, 1, "the way to egress")
        continue
      }
      switch egress.decide(packet) {
      case .transmit, .forget:
        leave(packet, tag)
        while let held = egress.nextHeld(after: packet) {
          leave(held, egress.tagOfLastHeld)
          giveBack(held, 1, "egress")
        }
        giveBack(packet, 1, "egress")
      case .suppress:
        settle(tag)
        giveBack(packet, 1, "egress")
      case .hold: egress.tagHeld(tag)
      case .refuse: giveBack(packet, 1, "egress")
      }
    }
  }
  private func settle(_ tag: ReleaseTag) {
    ledgers[Int(tag.pair)].settle(stream: tag.stream, from: tag.sequence, count: 1)
  }
  private func leave(_ packet: Packet, _ tag: ReleaseTag) {
    let (flowID, counter) = (packet.pointee.flowID, packet.pointee.counter)
    let run = runs[flowID]!
    if run.out < run.leaving.count {
      let due = run.leaving[run.out]
      require(due.counter == counter, "(\(flowID), \(counter)) leaves instead of \(due.counter)")
      require(due.previous == packet.pointee.previousPassed, "(\(flowID), \(counter)) names another as passed before it")
    } else {
      fail("flow \(flowID) sends too much: \(counter)")
    }
    runs[flowID]!.out += 1
    transmitted += 1
    settle(tag)
  }
  func acknowledge(_ seat: Seat) {
    guard seat.primary != nil, !seat.isDead else { return }
    let ledger = ledgers[seat.pair].stream == seat.stream ? ledgers[seat.pair].acknowledged : 0
    _ = seat.primary!.pointee.acknowledged(ledger, byTerm: beginnings[seat.pair].term)
  }
  func free(_ seat: Seat, _ most: Int = 64) {
    guard !seat.isDead else { return }
    var passed = [Packet](repeating: Packet(bitPattern: 8)!, count: most)
    var dropped = passed
    if seat.primary != nil {
      let counts = seat.primary!.pointee.takeFreed(passed: &passed, dropped: &dropped, capacity: most)
      for packet in passed[..<counts.passed] { giveBack(packet, 1, "a primary") }
      for packet in dropped[..<counts.dropped] { giveBack(packet, 2, "a primary") }
    } else {
      let count = seat.secondary!.pointee.takeFreed(into: &passed, capacity: most)
      for packet in passed[..<count] { giveBack(packet, 1, "a secondary") }
    }
  }
}
