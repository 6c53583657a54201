import DEFTWire

@testable import DEFTCore

// Messages, the map, failures.
extension MigrationHarness {
  // MARK: messages

  func closeBatch(_ seat: Seat, dry: Bool) {
    guard seat.primary != nil, !seat.isDead else { return }
    _ = seat.primary!.pointee.closeBatchIfDue(inputIsDry: dry, now: now)
  }

  /// What the primary has published reaches the secondary, in its epoch's stream.
  func send(_ pair: Int) {
    guard let other = secondary(pair) else { return }
    let from = primary(pair)
    guard from.primary != nil, other.secondary != nil else { return }
    for book in random.oneIn(2) ? [from.prepares, from.commits] : [from.commits, from.prepares] {
      while let bytes = book.read() { other.mail.append(bytes) }
    }
  }

  func readMail(_ seat: Seat) {
    guard !seat.isDead else { return }
    while !seat.mail.isEmpty {
      let bytes = seat.mail.removeFirst()
      bytes.withUnsafeBytes { message in
        if seat.primary != nil {
          _ = seat.primary!.pointee.receive(message, make: make)
        } else {
          seat.secondary!.pointee.receive(message, make: make)
        }
      }
    }
    let impossible =
      seat.primary?.pointee.counters.impossibleMessages ?? seat.secondary!.pointee.counters.impossibleMessages
    require(impossible == 0, "\(seat.id) refuses a message")
  }
  private func make(_ metadata: PacketMetadata, _ frame: UnsafeRawBufferPointer, _ references: Int) -> Packet? {
    bank.make(metadata, content: (frame.loadUnaligned(as: UInt64.self), 0), references: references)
  }

  func vote(_ seat: Seat) {
    guard seat.secondary != nil, !seat.isDead else { return }
    _ = seat.secondary!.pointee.vote()
    // It may not know yet that it is the primary.
    guard primary(seat.pair) !== seat else { return }
    let news = (voted: seat.secondary!.pointee.votedBatch, applied: seat.secondary!.pointee.appliedBatch)
    guard seat.told != news else { return }
    seat.told = news
    let length = ControlMessageHeader.byteCount + 8
    var bytes = [UInt8](repeating: 0, count: length)
    bytes.withUnsafeMutableBytes {
      ControlMessageHeader(
        kind: .vote, pair: UInt16(seat.pair), epoch: seat.secondary!.pointee.configuration.epoch, batch: news.voted,
        length: length
      ).write(to: $0.baseAddress!)
      ($0.baseAddress! + ControlMessageHeader.byteCount).storeBytes(of: news.applied.littleEndian, as: UInt64.self)
    }
    primary(seat.pair).mail.append(bytes)
  }

  func repair(_ seat: Seat) {
    guard !seat.isDead, options.replication.gapTimeout > 0 else { return }
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: ReplicationConfiguration.repairBurst)
    let isDry = seat.input.isEmpty && seat.forwards.isEmpty
    var log = BookLog(book: seat.repairs)
    if seat.primary != nil {
      let outcome = seat.primary!.pointee.repairGaps(now: now, inputIsDry: isDry, into: &log, unwanted: &unwanted)
      for packet in unwanted[..<outcome.unwanted] { giveBack(packet, 2, "repair") }
    } else {
      let outcome = seat.secondary!.pointee.repairGaps(now: now, inputIsDry: isDry, into: &log, unwanted: &unwanted)
      for packet in unwanted[..<outcome.unwanted] { giveBack(packet, 1, "repair") }
    }
    while let bytes = seat.repairs.read() {
      let other = seat.primary != nil ? secondary(seat.pair) : primary(seat.pair)
      if let other, !other.isDead, other !== seat { other.mail.append(bytes) }
    }
  }

  /// The source's steps and the target's.
  func migrate(_ seat: Seat) {
    guard seat.primary != nil, !seat.isDead else { return }
    var log = BookLog(book: seat.moves)
    for other in 0..<pairs where other != seat.pair {
      _ = seat.primary!.pointee.continueMoves(to: other, now: now, into: &log)
      _ = seat.primary!.pointee.answerMoves(to: other, into: &log)
    }
    while let bytes = seat.moves.read() {
      let header = bytes.withUnsafeBytes { ControlMessageHeader(reading: $0.baseAddress!) }
      if !random.oneIn(moveLosses) { primary(Int(header.pair)).moveMail.append(bytes) }
    }
    while !seat.moveMail.isEmpty {
      let bytes = seat.moveMail.removeFirst()
      bytes.withUnsafeBytes { seat.primary!.pointee.receiveMove($0) }
      if random.oneIn(moveLosses) { bytes.withUnsafeBytes { seat.primary!.pointee.receiveMove($0) } }
    }
    require(seat.primary!.pointee.counters.migration.impossible == 0, "\(seat.id) refuses a message of a move")
  }

  // MARK: the map

  func publish(since before: ClusterMap) {
    var notices: [Notice] = []
    for pair in 0..<pairs where map[pair] != before[pair] { notices.append(.pair(pair, map[pair])) }
    for group in 0..<map.groupCount where map.group(group) != before.group(group) {
      notices.append(.group(group, map.group(group)))
    }
    for seat in seats { seat.notices += notices }
    switchNotices += notices
  }

  @discardableResult
  func propose(_ transition: GroupTransition, _ group: Int, version: UInt32? = nil) -> GroupOutcome {
    let before = map
    let outcome = map.propose(transition, group: group, ifVersion: version ?? map.group(group).version)
    publish(since: before)
    return outcome
  }

  @discardableResult
  func begin(_ group: Int, to target: Int) -> GroupOutcome {
    if let running = migrations[group], !running.isOver { return .refused(.phase) }
    let assignment = map.group(group)
    guard target != assignment.pair else { return .refused(.target) }
    let outcome = propose(.begin(to: target), group)
    if outcome == .accepted { migrations[group] = GroupMigration(group: group, to: target, assignment) }
    return outcome
  }

  /// The leader looks at what has become of a move.
  func lead(_ group: Int) {
    guard var migration = migrations[group], !migration.isOver else { return }
    defer { migrations[group] = migration }
    let before = migration.phase
    // The map's entries are seen one by one by the replicas; the leader may skip some.
    let assignment = map.group(group)
    _ = migration.learn(assignment)
    if migration.phase > .idle, migration.phase < .committed {
      let source = primary(migration.source)
      // It has learnt of it.
      if source.primary != nil, !source.isDead, source.notices.isEmpty {
        if case .propose(let transition) = migration.learn(source.primary!.pointee.moveStatus(of: group)) {
          propose(transition, group, version: migration.version)
        }
      }
    }
    if migration.phase == .committed, rules[group].version >= migration.version { _ = migration.ruleChanged() }
    if case .inheriting(_, let first, let second) = map.group(group).phase, rules[group].pair == migration.target {
      for node in [first, second] {
        guard let node, isDrained(seat(node), group) else { continue }
        propose(.drained(node), group)
      }
    }
    if migration.phase != before, migration.isOver { outcomes[migration.phase, default: 0] += 1 }
  }

  /// All that was sent by the old rule has been taken and forwarded.
  private func isDrained(_ seat: Seat, _ group: Int) -> Bool {
    guard !seat.isDead, seat.notices.isEmpty else { return false }
    let kept = seat.primary?.pointee.keptCount(of: group) ?? seat.secondary!.pointee.keptCount(of: group)
    return kept == 0 && !(seat.input + seat.forwards).contains { self.group($0.pointee.flowID) == group }
  }

  func learnAtSwitch() {
    guard !switchNotices.isEmpty else { return }
    switch switchNotices.removeFirst() {
    case .pair(let pair, let assignment): assignments[pair] = assignment
    case .group(let group, let assignment): rules[group] = assignment
    }
  }

  func learn(_ seat: Seat) {
    guard !seat.notices.isEmpty else { return }
    let notice = seat.notices.removeFirst()
    guard !seat.isDead else { return }
    switch notice {
    case .group(let group, let assignment):
      if seat.primary != nil {
        seat.primary!.pointee.learn(assignment, group: group)
      } else {
        seat.secondary!.pointee.learn(assignment, group: group)
      }
    case .pair(let pair, let assignment):
      guard pair == seat.pair else { return }
      if seat.secondary != nil, assignment.primary == seat.id {
        takeOver(seat, assignment.epoch)
      } else if seat.primary != nil, assignment.primary == seat.id, assignment.secondary == nil {
        if assignment.epoch > seat.primary!.pointee.configuration.epoch {
          seat.primary!.pointee.secondaryFailed(epoch: assignment.epoch)
        }
      }
      if seat.primary != nil, assignment.primary == seat.id {
        seat.primary!.pointee.egressChanged(term: assignment.egressTerm)
      }
    }
  }

  // MARK: failures

  private func takeOver(_ seat: Seat, _ epoch: UInt32) {
    seat.secondary!.pointee.forEachHeld { bank.addReference($0) }
    for packet in seat.input { bank.addReference(packet) }
    let secondary = seat.secondary!.move()
    seat.secondary!.deallocate()
    seat.secondary = nil
    seat.stream = epoch
    seat.mail = []
    seat.primary = .allocate(capacity: 1)
    seat.primary!.initialize(
      to: Primary(
        takingOver: secondary, epoch: epoch, function: options.function, prepares: BookLog(book: seat.prepares),
        commits: BookLog(book: seat.commits), closeCapacity: options.slots, memory: arena.allocate))
  }

  /// The replica's node crashes, and the map learns it.
  func crash(_ seat: Seat) {
    guard !seat.isDead, map[seat.pair].secondary != nil else { return }
    seat.isDead = true
    for packet in seat.input + seat.forwards { giveBack(packet, seat.primary != nil ? 2 : 1, "a dead node") }
    (seat.input, seat.forwards) = ([], [])
    (seat.mail, seat.moveMail) = ([], [])
    var first = [Packet](repeating: Packet(bitPattern: 8)!, count: 64)
    var second = first
    if seat.primary != nil {
      seat.primary!.pointee.stepDown()
      while true {
        let counts = seat.primary!.pointee.takeAbandoned(released: &first, kept: &second, capacity: 64)
        if counts == (0, 0) { break }
        for packet in first[..<counts.released] { giveBack(packet, 1, "a dead primary") }
        for packet in second[..<counts.kept] { giveBack(packet, 2, "a dead primary") }
      }
    } else {
      while true {
        let count = seat.secondary!.pointee.takeAbandoned(into: &first, capacity: 64)
        if count == 0 { break }
        for packet in first[..<count] { giveBack(packet, 1, "a dead secondary") }
      }
    }
    let before = map
    let transition: MapTransition = map[seat.pair].primary == seat.id ? .primaryFailed() : .secondaryFailed
    _ = map.propose(transition, pair: seat.pair, ifEpoch: map[seat.pair].epoch)
    publish(since: before)
  }

  // MARK: runs

  /// Every step once, everywhere.
  func pass() {
    learnAtSwitch()
    for seat in seats {
      learn(seat)
      readMail(seat)
      vote(seat)
      deliver(seat)
      closeBatch(seat, dry: true)
      release(seat)
      tell(seat)
      migrate(seat)
      forward(seat)
      repair(seat)
    }
    for pair in 0..<pairs { send(pair) }
    runEgress()
    for seat in seats {
      acknowledge(seat)
      free(seat)
    }
    if isLed { for group in 0..<map.groupCount { lead(group) } }
    now += 500
  }

  /// One thing that may happen.
  func step(stamps: Bool = true) {
    let seat = seats[random.below(seats.count)]
    now += UInt64(random.below(200))
    switch stamps ? random.below(20) : 4 + random.below(16) {
    case 0, 1, 2, 3: stamp(random.below(options.keys), word: random.next())
    case 4, 5: deliver(seat, 1 + random.below(8))
    case 6: closeBatch(seat, dry: random.oneIn(2))
    case 7: send(random.below(pairs))
    case 8: readMail(seat)
    case 9: vote(seat)
    case 10: release(seat, 1 + random.below(8))
    case 11: runEgress(1 + random.below(8))
    case 12: acknowledge(seat)
    case 13: free(seat)
    case 14: migrate(seat)
    case 15: forward(seat, 1 + random.below(4))
    case 16: repair(seat)
    case 17: random.oneIn(2) ? learn(seat) : learnAtSwitch()
    case 18: lead(random.below(map.groupCount))
    default: if random.oneIn(2) { begin(random.below(map.groupCount), to: random.below(pairs)) }
    }
  }

  var isAtRest: Bool {
    bank.live == 0 && transmitted == runs.values.reduce(0) { $0 + $1.leaving.count }
      && migrations.values.allSatisfy(\.isOver) && switchNotices.isEmpty
      && seats.allSatisfy { seat in
        seat.isDead
          || seat.notices.isEmpty
            && (seat.primary?.pointee.isQuiescent ?? seat.secondary!.pointee.isQuiescent)
      }
  }

  /// Everything goes on until it has come to its end, and then both replicas of each pair hold what one run of the NF over
  /// the flows of their groups leaves, and of other groups nothing.
  func settle() {
    losses = 0
    moveLosses = 0
    isLed = true
    for _ in 0..<2_000 where violation == nil && !isAtRest { pass() }
    guard violation == nil else { return }
    guard isAtRest else { return fail("it does not come to rest: \(stall)") }
    var sums = [UInt64](repeating: 0, count: pairs)
    var counts = [Int](repeating: 0, count: pairs)
    for (flowID, run) in runs {
      sums[map.group(group(flowID)).pair] &+= run.digest()
      counts[map.group(group(flowID)).pair] += 1
    }
    for seat in seats where !seat.isDead {
      let digest = seat.primary?.pointee.digest() ?? seat.secondary!.pointee.digest()
      require(digest.flows == counts[seat.pair], "\(seat.id) has \(digest.flows) flows, not \(counts[seat.pair])")
      require(digest.digest == sums[seat.pair], "\(seat.id) has other states than one run of the NF")
    }
    require(lost == expectedLost, "\(lost) packets were declared lost, and \(expectedLost) were")
  }
  private var stall: String {
    let seats = seats.filter { !$0.isDead }.map { seat in
      if seat.primary != nil {
        return
          "\(seat.id): P \(seat.primary!.pointee.isQuiescent) kept \(seat.primary!.pointee.keptCount) pending \(seat.primary!.pointee.pendingCount) moves \(seat.primary!.pointee.moves.outgoing.count) \(seat.primary!.pointee.moves.incoming.count) backlog \(seat.primary!.pointee.backlogCount) room \(seat.primary!.pointee.room) input \(seat.input.count)"
      }
      return
        "\(seat.id): S \(seat.secondary!.pointee.isQuiescent) kept \(seat.secondary!.pointee.keptCount) held \(seat.secondary!.pointee.heldCount)"
    }
    return "live \(bank.live), out \(transmitted) of \(stamped), \(migrations.values.map(\.phase)); "
      + seats.joined(separator: "; ")
  }
}
