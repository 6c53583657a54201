import DEFTCore

/// A change of the map, on its way to somebody.
enum MapNotice {
  case pair(Int, PairAssignment)
  /// Every pair has another egress.
  case egress([PairAssignment])
  case unit(Int, UInt32)
  case group(Int, GroupAssignment)
}

// Consensus and failure detection, as far as a pair's replicas see them: one map, changed by compare-and-set, which every
// node and stamping unit learns in order and in its own time.
extension Simulation {
  /// The failure detector's word has come: the node is dead, as far as it knows.
  func suspect(_ node: Int) {
    let id = NodeID(UInt16(node))
    suspected.remove(id)
    for pair in 0..<options.pairs {
      let assignment = map[pair]
      if assignment.primary == id, assignment.standing == .inSync {
        propose(.primaryFailed(), pair)
      } else if assignment.primary == id {
        restart(pair)
      } else if assignment.secondary == id {
        propose(.secondaryFailed, pair)
      }
    }
  }

  func propose(_ transition: MapTransition, _ pair: Int) {
    let before = map
    let outcome = map.propose(transition, pair: pair, ifEpoch: map[pair].epoch)
    trace("map: pair \(pair) \(transition): \(outcome), \(map[pair].text)")
    guard case .accepted = outcome else { return }
    noteOwner(pair)
    if map[pair].losses > before[pair].losses {
      named[pair] += 1
      noteLoss(pair, before[pair])
    }
    if map[pair].standing == .none { lookForSecondary(pair) }
    switch transition {
    case .syncFinished: countEarlyVotes(pair)
    case .secondaryFailed: bindDeclared(pair)
    case .secondaryAdded: named[pair] += 1
    default: break
    }
    publish(.pair(pair, map[pair]))
    publishGroups(changedSince: before)
  }

  /// A stamping unit has failed, or is believed to have; another takes its place.
  func replaceUnit(_ unit: Int, isDead: Bool) {
    guard let incarnation = map.replaceUnit(unit, ifIncarnation: map.units[unit].incarnation) else { return }
    occurrences.note(.unitReplaced)
    if (0..<map.groupCount).contains(where: { map.group($0).phase != .settled }) {
      occurrences.note(.unitReplacedWhileMoving)
    }
    if (0..<options.pairs).contains(where: { lostPairs.contains($0) || (primary($0)?.replica.isRestarting ?? false) }) {
      occurrences.note(.unitReplacedWhileLost)
    }
    trace("map: stamping unit \(unit) \(isDead ? "fails" : "is suspected, and lives"); incarnation \(incarnation)")
    publish(.unit(unit, incarnation))
    let successor = StamperActor(self, index: actors.count, succeeding: stampers[unit], incarnation: incarnation)
    if isDead { stampers[unit].die() } else { stampers[unit].linger() }
    stampers[unit] = successor
    add(successor)
  }

  /// Every node and every unit will learn of it.
  func publish(_ notice: MapNotice) {
    for receiver in notices.indices {
      let isEmpty = notices[receiver].isEmpty
      notices[receiver].append(notice)
      if isEmpty { scheduleNotice(receiver) }
    }
  }

  private func scheduleNotice(_ receiver: Int) {
    events.add(.mapNotice, at: now + 1 + random.around(options.controlLatency), target: receiver)
  }

  /// A node or a stamping unit learns of the next change.
  func learn(_ receiver: Int) {
    guard !notices[receiver].isEmpty else { return }
    let notice = notices[receiver].removeFirst()
    if !notices[receiver].isEmpty { scheduleNotice(receiver) }
    func learn(_ pair: Int, _ assignment: PairAssignment) {
      if receiver < nodes.count {
        nodes[receiver].learn(assignment, pair: pair)
      } else {
        stampers[receiver - nodes.count].learn(assignment, pair: pair)
      }
    }
    switch notice {
    case .pair(let pair, let assignment): learn(pair, assignment)
    case .egress(let assignments): for (pair, assignment) in assignments.enumerated() { learn(pair, assignment) }
    case .unit(let unit, let incarnation):
      if receiver < nodes.count { nodes[receiver].learn(incarnation: incarnation, unit: unit) }
    case .group(let group, let assignment):
      if receiver < nodes.count {
        nodes[receiver].learn(assignment, group: group)
      } else {
        stampers[receiver - nodes.count].learn(assignment, group: group)
      }
    }
  }

  /// Nobody has the pair's states any more: another node begins with nothing, as soon as there is one.
  private func restart(_ pair: Int) {
    lostPairs.remove(pair)
    let assignment = map[pair]
    let free = nodes.filter { $0.isAlive && !suspected.contains($0.id) && $0.id != assignment.primary }
    guard let first = free.first, named[pair] < replicasPerPair else {
      lostPairs.insert(pair)
      return lookForSecondary(pair)
    }
    let isSyncing = free.contains { $0.id == assignment.secondary }
    if isSyncing, random.oneIn(2) { return propose(.primaryFailed(), pair) }
    let next = isDirected ? first : free[random.below(free.count)]
    propose(.primaryFailed(replacement: next.id), pair)
  }

  /// Looks for a new secondary where there is none.
  func repairMap(_ pair: Int) {
    if lostPairs.contains(pair) { return restart(pair) }
    guard map[pair].standing == .none else { return }
    let free = nodes.filter { $0.isAlive && $0.id != map[pair].primary && !suspected.contains($0.id) }
    if !free.isEmpty, nodes[Int(map[pair].primary.rawValue)].isAlive, named[pair] < replicasPerPair - 1 {
      propose(.secondaryAdded(free[random.below(free.count)].id), pair)
    } else {
      lookForSecondary(pair)
    }
  }

  private func lookForSecondary(_ pair: Int) {
    events.add(.repairMap, at: now + 1 + random.around(options.controlLatency * 2), target: pair)
  }

  // MARK: replicas

  private func configuration(_ pair: Int, epoch: UInt32) -> ReplicationConfiguration {
    var configuration = options.replication
    configuration.pair = UInt16(pair)
    configuration.epoch = epoch
    return configuration
  }

  /// The link of a pair's stream, made by whichever end comes first.
  func link(_ pair: Int, epoch: UInt32) -> ControlLink {
    if let link = links.last(where: { $0.pair == pair && $0.epoch == epoch }) { return link }
    let link = ControlLink(self, index: links.count, pair: pair, epoch: epoch, isSync: epoch > 1)
    links.append(link)
    return link
  }

  /// The pair as it is at the beginning.
  func makePair(_ pair: Int) {
    let assignment = map[pair]
    noteOwner(pair)
    let link = link(pair, epoch: assignment.epoch)
    let replica = PrimaryActor.Replica(
      function: options.function, configuration: configuration(pair, epoch: assignment.epoch), layout: layout,
      prepares: SimulatedLogEnd(log: link.prepares), commits: SimulatedLogEnd(log: link.commits),
      closeCapacity: options.units * options.slotsPerUnit, memory: arena.allocate)
    let node = nodes[Int(assignment.primary.rawValue)]
    let primary = PrimaryActor(
      self, index: actors.count, pair: pair, node: node, mark: nextMark(pair), link: link, replica)
    node.roles[pair] = .primary(primary)
    add(primary)
    let other = nodes[Int(assignment.secondary!.rawValue)]
    link.join(primary)
    other.roles[pair] = .secondary(makeSecondary(pair: pair, node: other, epoch: assignment.epoch, isSyncing: false))
  }

  private func nextMark(_ pair: Int) -> Int {
    marks[pair] += 1
    // With moves the replicas of other pairs may come to hold a flow's packets, too.
    return options.moveInterval > 0 ? (marks[pair] - 1) * options.pairs + pair : marks[pair] - 1
  }

  func makeSecondary(pair: Int, node: SimulatedNode, epoch: UInt32, isSyncing: Bool) -> SecondaryActor {
    let replica = SecondaryActor.Replica(
      initialState: SimulatedFunction.initialState, configuration: configuration(pair, epoch: epoch), layout: layout,
      isSyncing: isSyncing, memory: arena.allocate)
    let link = link(pair, epoch: epoch)
    let actor = SecondaryActor(
      self, index: actors.count, pair: pair, node: node, mark: nextMark(pair), epoch: epoch, link: link, replica)
    add(actor)
    link.join(actor)
    return actor
  }

  /// In the place of two that are lost (`PrimaryReplica+Restart.swift`).
  func makePrimary(restarting pair: Int, node: SimulatedNode, _ assignment: PairAssignment) -> PrimaryActor {
    occurrences.note(.restarted)
    trace("primary \(pair) on \(node.id): begins with nothing, epoch \(assignment.epoch)")
    let link = ControlLink(self, index: 0, pair: pair, epoch: 0, isSync: false)
    var replica = PrimaryActor.Replica(
      function: options.function, configuration: configuration(pair, epoch: assignment.epoch), layout: layout,
      prepares: SimulatedLogEnd(log: link.prepares), commits: SimulatedLogEnd(log: link.commits),
      closeCapacity: options.units * options.slotsPerUnit, hasSecondary: false, memory: arena.allocate)
    replica.restart(units: options.units, egressTerm: assignment.egressTerm)
    let actor = PrimaryActor(
      self, index: actors.count, pair: pair, node: node, mark: nextMark(pair), link: nil, replica)
    add(actor)
    return actor
  }

  func makePrimary(takingOver secondary: SecondaryActor, node: SimulatedNode, epoch: UInt32) -> PrimaryActor {
    occurrences.note(.takeover)
    trace("\(secondary.name): takes over, epoch \(epoch), \(secondary.replica.heldCount) copies")
    // Nothing is written before a sync begins, which brings other logs.
    let link = ControlLink(self, index: 0, pair: secondary.pair, epoch: 0, isSync: false)
    let (input, repaired) = (secondary.input, secondary.repaired)
    occurrences.note(.lossInherited, UInt64(secondary.replica.votedLostCount))
    let mark = secondary.mark
    let replica = PrimaryActor.Replica(
      takingOver: secondary.moveOut(), epoch: epoch, function: options.function,
      prepares: SimulatedLogEnd(log: link.prepares), commits: SimulatedLogEnd(log: link.commits),
      closeCapacity: options.units * options.slotsPerUnit, memory: arena.allocate)
    let actor = PrimaryActor(
      self, index: actors.count, pair: secondary.pair, node: node, mark: mark, link: nil, replica)
    (actor.input, actor.repaired) = (input, repaired)
    actor.firstIncarnations = secondary.firstIncarnations
    actor.markInput()
    add(actor)
    return actor
  }

  // MARK: who is what, by the map

  func primary(_ pair: Int) -> PrimaryActor? {
    if case .primary(let actor) = nodes[Int(map[pair].primary.rawValue)].roles[pair] { return actor }
    return nil
  }
  func secondary(_ pair: Int) -> SecondaryActor? {
    guard let id = map[pair].secondary, case .secondary(let actor) = nodes[Int(id.rawValue)].roles[pair],
      // The node may not have learnt that it begins anew.
      actor.epoch == map[pair].epoch
    else { return nil }
    return actor
  }
  /// Whoever releases under that name, and lives.
  func primary(_ pair: Int, stream: UInt32) -> PrimaryActor? {
    for node in nodes {
      if case .primary(let actor) = node.roles[pair], actor.stream == stream { return actor }
    }
    return nil
  }
}
