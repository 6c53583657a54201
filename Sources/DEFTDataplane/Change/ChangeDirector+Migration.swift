import CDPDK
import DEFTCore
import DEFTMailbox

// Planned migrations (paper, V; R8, R11): every flow group of one pair goes to another, one by one, a few at a time, so that
// a flow waits for its own group only. What each group needs next is `GroupMigration`'s to say; here it is carried out.
extension ChangeDirector {
  /// Groups under way at once; the protocol takes 16. More are no faster, and those that are frozen together wait for each other.
  private static var groupsAtOnce: Int { 6 }

  /// A group on its way.
  private struct Move {
    var migration: GroupMigration
    let began: UInt64
    /// What each replica of the former owner must have taken from its inputs, by host.
    var marks: [(host: Int, taken: UInt64, isDrained: Bool)] = []
  }

  func carryOut(_ migration: PlannedMigration, next: UInt64) throws {
    gate.open(until: next)
    var record = MigrationRecord(migration: migration)
    let began = clock.now()
    let before = latencies()
    let countsBefore = counts(migration)
    var waiting = (0..<map.groupCount).filter { map.group($0).pair == migration.source }
    record.groups = waiting.count
    var moves: [Move] = []
    let concerned = replicas(of: [migration.source, migration.target])
    while !waiting.isEmpty || !moves.isEmpty {
      guard !isStopped else {
        throw ChangeStepError(text: "the run ended with \(waiting.count + moves.count) groups to move")
      }
      while moves.count < Self.groupsAtOnce, let group = waiting.popLast() {
        moves.append(
          Move(migration: GroupMigration(group: group, to: migration.target, map.group(group)), began: clock.now()))
        _ = propose(moves[moves.count - 1].migration.begin, group: group)
      }
      together(concerned) { [self] in
        askReplicas(&moves)
        // What is said makes the next thing due.
        while learnMap(&moves) {}
      }
      for index in moves.indices where clock.now() &- moves[index].began > UInt64(Self.patience * 1e9) {
        if case .propose(let transition) = moves[index].migration.giveUp() {
          _ = propose(transition, group: moves[index].migration.group)
        }
        throw ChangeStepError(
          text: "group \(moves[index].migration.group) is still \(moves[index].migration.phase) after \(Self.patience) s")
      }
      for move in moves where move.migration.phase == .undone {
        record.undone += 1
        waiting.insert(move.migration.group, at: 0)
      }
      moves.removeAll { $0.migration.isOver }
      cd_sleep_us(Self.interval)
    }
    record.duration = clock.now() &- began
    let countsAfter = counts(migration)
    record.flows = countsAfter.flows &- countsBefore.flows
    record.forwarded = countsAfter.forwarded &- countsBefore.forwarded
    record.longestLatency = LatencyHistogram.longest(from: before, to: latencies())
    migrations.withLock { $0.append(record) }
  }

  private func propose(_ transition: GroupTransition, group: Int) -> Bool {
    map.propose(transition, group: group, ifVersion: map.group(group).version) == .accepted
  }

  /// Flows that the target has taken in, packets that the source's replicas have sent on.
  private func counts(_ migration: PlannedMigration) -> (flows: UInt64, forwarded: UInt64) {
    let targets = pipeline.replicas.primaries(ofPair: migration.target).map { $0.pointee.replica.counters.migration }
    let sources =
      pipeline.replicas.primaries(ofPair: migration.source).map { $0.pointee.replica.counters.migration }
      + pipeline.replicas.secondaries(ofPair: migration.source).map { $0.pointee.replica.counters.migration }
    return (targets.reduce(0) { $0 + $1.entriesStaged }, sources.reduce(0) { $0 + $1.forwarded })
  }

  // MARK: the map's word

  /// What the map says of each group that moves, to the replicas of both pairs and then to the switches.
  /// False: there was nothing new.
  private func learnMap(_ moves: inout [Move]) -> Bool {
    var told: [Int] = []
    var changed: [Int] = []
    for index in moves.indices {
      switch moves[index].migration.learn(map.group(moves[index].migration.group)) {
      case .tell: told.append(index)
      case .tellAndChangeRule:
        told.append(index)
        changed.append(index)
      case .nothing, .propose, .watchDrain: break
      }
    }
    guard !told.isEmpty else { return false }
    let news = told.map { (group: moves[$0].migration.group, assignment: map.group(moves[$0].migration.group)) }
    let (source, target) = (moves[told[0]].migration.source, moves[told[0]].migration.target)
    for (pair, host) in replicas(of: [source, target]) {
      let seat = pipeline.seats[pair][host]
      onLcore(pair: pair, host: host) {
        for (group, assignment) in news {
          seat.pointee.primary?.pointee.learn(assignment, group: group)
          seat.pointee.secondary?.pointee.learn(assignment, group: group)
        }
      }
    }
    guard !changed.isEmpty else { return true }
    let groups = changed.map { moves[$0].migration.group }
    onStampers { [self] in
      for stamper in pipeline.stampers {
        for group in groups { stamper.pointee.fabric.setRule(group: group, pair: target) }
      }
    }
    for (pair, host) in replicas(of: [source]) {
      let seat = pipeline.seats[pair][host]
      var mark: UInt64 = 0
      onLcore(pair: pair, host: host) {
        mark = seat.pointee.primary?.pointee.inputMark ?? seat.pointee.secondary?.pointee.inputMark ?? 0
      }
      for index in changed { moves[index].marks.append((host, mark, false)) }
    }
    for index in changed { _ = moves[index].migration.ruleChanged() }
    return true
  }

  private func replicas(of pairs: [Int]) -> [(pair: Int, host: Int)] {
    pairs.flatMap { pair in
      [pipeline.present[pair].primary, pipeline.present[pair].secondary].map { (pair, $0) }
    }
  }

  // MARK: the replicas' word

  /// How far the source is with each group; what that makes due is asked of the map.
  private func askReplicas(_ moves: inout [Move]) {
    guard let source = moves.first?.migration.source else { return }
    for (pair, host) in replicas(of: [source]) {
      let seat = pipeline.seats[pair][host]
      let groups = moves.map(\.migration.group)
      var statuses: [MoveStatus]?
      var taken: UInt64 = 0
      var kept: [Int] = []
      onLcore(pair: pair, host: host) {
        if let primary = seat.pointee.primary {
          statuses = groups.map { primary.pointee.replica.moveStatus(of: $0) }
          taken = primary.pointee.takenTotal
          kept = groups.map { primary.pointee.replica.keptCount(of: $0) }
        } else if let secondary = seat.pointee.secondary {
          taken = secondary.pointee.takenTotal
          kept = groups.map { secondary.pointee.replica.keptCount(of: $0) }
        }
      }
      for index in moves.indices {
        if let statuses, case .propose(let transition) = moves[index].migration.learn(statuses[index]) {
          _ = propose(transition, group: groups[index])
        }
        for place in moves[index].marks.indices
        where moves[index].marks[place].host == host && !moves[index].marks[place].isDrained
          && taken >= moves[index].marks[place].taken && kept[index] == 0
        {
          moves[index].marks[place].isDrained = propose(.drained(NodeID(UInt16(host))), group: groups[index])
        }
      }
    }
  }

  // MARK: after failures

  /// A new replica, between two rounds of its lcore: what the map says of groups that ever moved.
  func learnGroups(_ learn: (GroupAssignment, Int) -> Void) {
    for group in 0..<map.groupCount where map.group(group).version > 1 { learn(map.group(group), group) }
  }

  /// Another host is primary or secondary of the pair: whoever sends packets on sends them there, and its primary has new
  /// ends of the ways to other primaries.
  func reroute(_ pair: Int) {
    guard !pipeline.configuration.migrations.isEmpty else { return }
    for other in pipeline.present.indices {
      for (_, host) in replicas(of: [other]) {
        let seat = pipeline.seats[other][host]
        onLcore(pair: other, host: host) { [self] in
          if let primary = seat.pointee.primary { pipeline.setRoutes(primary.pointee.routes, pair: other, host: host, map) }
          if let secondary = seat.pointee.secondary {
            pipeline.setRoutes(secondary.pointee.routes, pair: other, host: host, map)
          }
        }
      }
      guard pipeline.configuration.moves(pair, other), other != pair else { continue }
      let (there, back) = pipeline.makeMoveRings()
      for (one, peer, rings) in [(pair, other, (there, back)), (other, pair, (back, there))] {
        let host = pipeline.present[one].primary
        let seat = pipeline.seats[one][host]
        onLcore(pair: one, host: host) {
          seat.pointee.primary?.pointee.setLink(MoveLink(peer: peer, outgoing: rings.0, incoming: rings.1))
        }
      }
    }
  }
}
