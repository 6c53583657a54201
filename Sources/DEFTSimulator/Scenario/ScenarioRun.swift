import DEFTCore

/// Carries out a scenario's commands, one after the other, on a simulation in which nothing happens by itself.
final class ScenarioRun {
  let simulation: Simulation
  private let arena = SimulationArena()
  /// Flow IDs by the scenario's numbers.
  private var flows: [Int: UInt32] = [:]
  /// Packets under way that somebody keeps.
  private var kept: [Event] = []

  init(_ options: SimulationOptions, print: ((String) -> Void)?) {
    simulation = Simulation(options, arena: arena, isDirected: true, print: print)
    simulation.hasFaults = false
    // The connection is there from the beginning.
    _ = exchange(toPrimary: true, toSecondary: true)
  }

  /// nil: done. Otherwise what is wrong with the command, or with what it found.
  func perform(_ words: [String]) -> String? {
    let rest = Array(words.dropFirst())
    switch words[0] {
    case "stamp": return stamp(rest)
    case "deliver", "lose", "keep": return move(rest, words[0])
    case "forward": forward()
    case "former":
      guard let actor = simulation.nodes.lazy.flatMap({ $0.formerPrimaries(0) }).first else { return "nobody stepped down" }
      _ = actor.forwardUnreleased()
    case "primary", "secondary": return step(words[0], rest.first ?? "")
    case "egress" where rest == ["hears"]: happen { $0.kind == .telling }
    case "egress":
      for _ in 0..<4 { _ = simulation.egress.poll() }
    case "acknowledge":
      happen { $0.kind == .acknowledgement }
      _ = simulation.primary(0)?.perform(.acknowledgement)
    case "messages":
      let to = rest.last ?? ""
      return exchange(toPrimary: to != "secondary", toSecondary: to != "primary")
    case "message" where rest == ["to", "secondary"]: return passOne()
    case "cut": link?.end(link!.number)
    case "reconnect": happen { $0.kind == .linkOpens }
    case "crash" where rest.first == "stamper": simulation.replaceUnit(0, isDead: true)
    case "crash" where rest.first == "egress": simulation.crashEgress()
    case "suspect" where rest.first == "egress": simulation.replaceEgress()
    case "crash":
      guard let node = node(rest.first) else { return "no such node" }
      node.crash()
    case "suspect":
      guard let node = node(rest.first) else { return "no such node" }
      simulation.suspect(Int(node.id.rawValue))
    case "move":
      guard let target = rest.last.flatMap({ Int($0) }), let group = group(rest.first) else {
        return "which flow or group, and where to?"
      }
      simulation.beginMove(group, to: target)
    case "name" where rest == ["secondary"]: happen { $0.kind == .repairMap }
    case "learn": return learn(rest.first ?? "all")
    case "wait": simulation.now += ScenarioRun.time(rest.first) ?? 0
    case "run" where rest.first == "until":
      for _ in 0..<100_000 where expect(Array(rest.dropFirst())) != nil { simulation.run(until: simulation.now + 100) }
      return expect(Array(rest.dropFirst()))
    case "run":
      guard let time = ScenarioRun.time(rest.first) else { return "no such time" }
      simulation.run(until: simulation.now + time)
    case "settle": simulation.settle()
    case "expect": return expect(rest)
    default: return "no such command"
    }
    return nil
  }

  /// `g3`, or the group of a flow: `f0`.
  private func group(_ word: String?) -> Int? {
    if let flow = ScenarioRun.flow(word) { return flows[flow].map { simulation.group($0) } }
    guard let word, word.hasPrefix("g") else { return nil }
    return Int(word.dropFirst())
  }

  private var link: ControlLink? { simulation.links.last { $0.primary != nil || $0.secondary != nil } }

  private func node(_ name: String?) -> SimulatedNode? {
    switch name {
    case "primary": simulation.nodes[Int(simulation.map[0].primary.rawValue)]
    case "secondary": simulation.map[0].secondary.map { simulation.nodes[Int($0.rawValue)] }
    default: simulation.nodes.first { "\($0.id)" == name }
    }
  }

  private func happen(_ isWanted: (Event) -> Bool) {
    for event in simulation.events.take(isWanted) { simulation.handle(event) }
  }

  static func time(_ text: String?) -> UInt64? {
    guard let text else { return nil }
    for (unit, factor) in [("ns", UInt64(1)), ("us", 1_000), ("ms", 1_000_000)] where text.hasSuffix(unit) {
      return UInt64(text.dropLast(2)).map { $0 * factor }
    }
    return nil
  }

  // MARK: packets

  private func stamp(_ words: [String]) -> String? {
    guard let number = ScenarioRun.flow(words.first) else { return "which flow?" }
    var count = 1
    for word in words where word.hasPrefix("x") { count = Int(word.dropFirst()) ?? 1 }
    for _ in 0..<count {
      guard let flowID = simulation.stampers[0].stamp(number, isDropped: words.contains("dropped")) else { return "no room" }
      flows[number] = flowID
    }
    return nil
  }

  static func flow(_ word: String?) -> Int? {
    guard let word, word.hasPrefix("f") else { return nil }
    return Int(word.dropFirst())
  }

  /// `1..3 5` → [1, 2, 3, 5]
  static func counters(_ words: [String]) -> [UInt32] {
    words.flatMap { word -> [UInt32] in
      let ends = word.split(separator: ".", omittingEmptySubsequences: true).compactMap { UInt32($0) }
      guard let first = ends.first, let last = ends.last else { return [] }
      return Array(first...max(first, last))
    }
  }

  private func move(_ words: [String], _ what: String) -> String? {
    let destination: PacketPath.Destination
    switch words.first {
    case "primary": destination = .primary
    case "secondary": destination = .secondary
    case "egress": destination = .egress
    default: return "to where?"
    }
    let flowID = ScenarioRun.flow(words.dropFirst().first).flatMap { flows[$0] }
    let counters = ScenarioRun.counters(Array(words.dropFirst(2)))
    let wanted: (Event) -> Bool = { [simulation] event in
      guard event.kind == .arrival else { return false }
      let flight = simulation.flights[Int(event.target)]
      guard flight.destination == destination else { return false }
      guard let flowID else { return true }
      let packet = flight.packet.pointee
      return packet.flowID == flowID && (counters.isEmpty || counters.contains(packet.counter))
    }
    let events = simulation.events.take(wanted)
    if events.isEmpty, flowID != nil { return "no such packet is under way" }
    for event in events {
      switch what {
      case "lose": simulation.lose(Int(event.target))
      case "keep": kept.append(event)
      default: simulation.handle(event)
      }
    }
    return nil
  }

  /// R8: whoever has kept them was dismissed, and sends them on past the stamping units and what replaced those.
  private func forward() {
    for event in kept {
      simulation.flights[Int(event.target)].isForwarded = true
      simulation.flights[Int(event.target)].incarnation = .max
      simulation.handle(event)
    }
    kept = []
  }

  // MARK: replicas

  private func step(_ who: String, _ what: String) -> String? {
    if who == "primary" {
      let steps: [String: PrimaryActor.Step] = [
        "takes": .take, "replays": .replay, "closes": .close, "releases": .release, "retransmits": .retransmit,
        "frees": .free, "reads": .messages, "repairs": .repair, "syncs": .sync,
        "tells": .tell,
      ]
      guard let actor = simulation.primary(0) else { return "there is no primary" }
      guard let step = steps[what] else { return "no such step" }
      _ = actor.perform(step)
      simulation.checkPrimaryBounds(actor)
    } else {
      let steps: [String: SecondaryActor.Step] = [
        "holds": .copies, "reads": .messages, "votes": .vote, "frees": .free, "repairs": .repair,
      ]
      guard let actor = simulation.secondary(0) else { return "there is no secondary" }
      guard let step = steps[what] else { return "no such step" }
      _ = actor.perform(step)
      simulation.checkSecondaryBounds(actor)
    }
    return nil
  }

  /// Control messages move until none is left, in the directions asked for.
  private func exchange(toPrimary: Bool, toSecondary: Bool) -> String? {
    for _ in 0..<8 {
      happen { $0.kind == .linkOpens && $0.payload == 0 }
      happen { $0.kind == .pump }
      happen {
        guard $0.kind == .message else { return false }
        return $0.payload & 1 == 0 ? toSecondary : toPrimary
      }
      if toSecondary, let link { _ = link.secondary?.perform(.messages) }
      if toPrimary, let link { _ = link.primary?.perform(.messages) }
      link?.ring()
    }
    return nil
  }

  /// The next control message arrives at the secondary, and no other.
  private func passOne() -> String? {
    happen { $0.kind == .pump }
    let coming = simulation.events.take { $0.kind == .message && $0.payload & 1 == 0 }
    guard let first = coming.first else { return "no message is under way" }
    for event in coming.dropFirst() {
      simulation.events.add(event.kind, at: event.time, target: Int(event.target), payload: event.payload)
    }
    simulation.handle(first)
    _ = link?.secondary?.perform(.messages)
    return nil
  }

  private func learn(_ who: String) -> String? {
    if who == "all" {
      for _ in 0..<8 { happen { $0.kind == .mapNotice } }
      return nil
    }
    guard let node = node(who) else { return "no such node" }
    for _ in 0..<8 { happen { $0.kind == .mapNotice && Int($0.target) == Int(node.id.rawValue) } }
    return nil
  }

  // MARK: what must be so

  private func expect(_ words: [String]) -> String? {
    func differs(_ found: String, _ wanted: String) -> String? { found == wanted ? nil : "found \(found)" }
    switch words.first {
    case "egress", "released":
      guard let flow = ScenarioRun.flow(words.dropFirst().first).flatMap({ flows[$0] }).flatMap({ simulation.flow($0) })
      else {
        return "which flow?"
      }
      let found = words[0] == "egress" ? flow.transmitted : flow.released
      let wanted = ScenarioRun.counters(Array(words.dropFirst(2)))
      return differs("\(found)", "\(wanted)")
    case "held":
      return differs("\(simulation.secondary(0)?.replica.heldCount ?? 0)", words.last ?? "")
    case "pair":
      let wanted = words.dropFirst().joined(separator: " ")
      let found = simulation.map[0].text.filter { !"(),".contains($0) }
      return differs(found, wanted)
    case "owner":
      guard let flow = ScenarioRun.flow(words.dropFirst().first).flatMap({ flows[$0] }) else { return "which flow?" }
      return differs("\(simulation.pair(flow))", words.last ?? "")
    case "losses": return differs("\(simulation.map[0].losses)", words.last ?? "")
    case "backlog": return differs("\(simulation.primary(0)?.replica.backlogCount ?? 0)", words.last ?? "")
    default: return "expect what?"
    }
  }
}
