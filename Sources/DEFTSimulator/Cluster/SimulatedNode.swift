import DEFTCore

/// What a node does for one pair.
enum Role {
  case none
  case primary(PrimaryActor)
  case secondary(SecondaryActor)

  var actor: (any ReplicaActor)? {
    switch self {
    case .none: nil
    case .primary(let actor): actor
    case .secondary(let actor): actor
    }
  }
}

/// A node of the cluster: what fails as a whole. Acts on what it learns of the map, in order, at its own time.
final class SimulatedNode {
  unowned let simulation: Simulation
  let id: NodeID
  private(set) var isAlive = true
  /// By pair.
  var roles: [Role]
  /// By pair: what the map said up to here it said of the node before it failed.
  private var former: [UInt32]
  /// What it knows of the map.
  private(set) var pairs: [PairAssignment]
  private(set) var groups: [GroupAssignment]
  /// Replicas that have no part any more and may still have something to give back.
  private var retiring: [any ReplicaActor] = []
  var holder: Holder { Int(id.rawValue) + 1 }
  /// By stamping unit: what it knows to be the latest. Of earlier ones it takes no packet any more (R16).
  private(set) var incarnations: [UInt32]

  init(_ simulation: Simulation, id: NodeID, pairs: Int) {
    self.simulation = simulation
    self.id = id
    roles = [Role](repeating: .none, count: pairs)
    former = [UInt32](repeating: 0, count: pairs)
    self.pairs = (0..<pairs).map { simulation.map[$0] }
    groups = (0..<simulation.map.groupCount).map { simulation.map.group($0) }
    incarnations = [UInt32](repeating: 1, count: simulation.options.units)
  }

  /// A stamping unit was replaced. What has come of its predecessors will be taken; nothing more.
  func learn(incarnation: UInt32, unit: Int) {
    simulation.trace("\(id): learns that unit \(unit) is incarnation \(incarnation)")
    incarnations[unit] = incarnation
    for role in roles { role.actor?.markInput(of: unit) }
  }

  /// Everything that it holds is gone.
  func crash() {
    guard isAlive else { return }
    simulation.trace("\(id): crashes")
    isAlive = false
    for pair in roles.indices {
      roles[pair].actor?.die()
      roles[pair] = .none
    }
    for actor in retiring { actor.die() }
    retiring = []
    // A group that has moved waits for what its former owners have kept, unless both are lost.
    if simulation.options.faults.contains(.groupLoss) {
      for packet in simulation.packets.blocks where simulation.packets.references(packet, holder) > 0 {
        simulation.noteLostCopy(packet)
      }
    }
    simulation.packets.giveBackAll(of: holder)
  }

  /// It comes back with nothing.
  func restart() {
    guard !isAlive else { return }
    simulation.trace("\(id): restarts")
    isAlive = true
    for pair in roles.indices { former[pair] = simulation.map[pair].epoch }
  }

  // MARK: the map

  /// The node learns of a change.
  ///
  /// | role here | the map names it | does |
  /// |---|---|---|
  /// | primary | primary, no secondary | goes on alone |
  /// | primary | primary, another secondary | begins a sync |
  /// | primary | primary, secondary now in sync | needs its votes |
  /// | primary | nothing or secondary | steps down |
  /// | secondary | primary | promises the epoch and takes over |
  /// | secondary | secondary, now in sync | may be promoted |
  /// | secondary | nothing | is dismissed |
  /// | none | secondary | begins with nothing, unless the map means what it was before it failed |
  /// | none, secondary | primary, one loss more | begins with nothing: both replicas were lost |
  func learn(_ assignment: PairAssignment, pair: Int) {
    let isRestart = assignment.losses > pairs[pair].losses && assignment.primary == id
    pairs[pair] = assignment
    guard isAlive else { return }
    simulation.trace("\(id): learns that pair \(pair) is \(assignment.text)")
    switch roles[pair] {
    case .primary(let actor):
      guard assignment.epoch >= actor.epoch else { return }
      guard assignment.primary == id else { return retire(pair, actor) }
      actor.learn(assignment)
    case .secondary(let actor):
      guard assignment.epoch >= actor.epoch else { return }
      if assignment.epoch == actor.epoch, assignment.standing == .inSync { return actor.becomeInSync() }
      if isRestart {
        retire(pair, actor)
        return restart(pair, assignment)
      }
      if assignment.primary == id { return takeOver(pair, actor, assignment) }
      if assignment.secondary != id || assignment.epoch != actor.epoch {
        retire(pair, actor)
        if assignment.secondary == id { begin(pair, assignment) }
      }
    case .none:
      guard assignment.epoch > former[pair] else { return }
      if assignment.secondary == id { begin(pair, assignment) }
      if isRestart { restart(pair, assignment) }
    }
  }

  /// A primary here has learnt by a message that it is none any more. (One that retires already may have a successor here.)
  func abandon(_ former: PrimaryActor) {
    if case .primary(let actor) = roles[former.pair], actor === former { retire(former.pair, actor) }
  }

  /// Whoever takes what comes to the node for the pair: one that has no part any more forwards it (R8).
  func receiver(_ pair: Int) -> (any ReplicaActor)? { roles[pair].actor ?? formerPrimaries(pair).last }
  func formerPrimaries(_ pair: Int) -> [PrimaryActor] {
    retiring.compactMap { $0.pair == pair && !$0.isGone ? $0 as? PrimaryActor : nil }
  }

  private func retire(_ pair: Int, _ actor: any ReplicaActor) {
    actor.stepDown()
    retiring.append(actor)
    roles[pair] = .none
  }

  private func takeOver(_ pair: Int, _ secondary: SecondaryActor, _ assignment: PairAssignment) {
    let primary = simulation.makePrimary(takingOver: secondary, node: self, epoch: assignment.epoch)
    primary.learn(egressTerm: assignment.egressTerm)
    roles[pair] = .primary(primary)
  }

  private func restart(_ pair: Int, _ assignment: PairAssignment) {
    let primary = simulation.makePrimary(restarting: pair, node: self, assignment)
    for group in groups.indices where groups[group].version > 1 {
      primary.replica.learn(groups[group], group: group)
    }
    roles[pair] = .primary(primary)
  }

  private func begin(_ pair: Int, _ assignment: PairAssignment) {
    let secondary = simulation.makeSecondary(pair: pair, node: self, epoch: assignment.epoch, isSyncing: true)
    for group in groups.indices where groups[group].version > 1 {
      secondary.replica.learn(groups[group], group: group)
    }
    roles[pair] = .secondary(secondary)
  }

  /// A flow group's entry in the map has changed.
  func learn(_ assignment: GroupAssignment, group: Int) {
    groups[group] = assignment
    guard isAlive else { return }
    for role in roles {
      role.actor?.markInput()
      switch role {
      case .none: continue
      case .primary(let actor): actor.learn(assignment, group: group)
      case .secondary(let actor): actor.learn(assignment, group: group)
      }
    }
  }
}

extension PairAssignment {
  var text: String { "(\(primary), \(secondary.map { "\($0) \(standing)" } ?? "none"), epoch \(epoch))" }
}
