/// A directed run, told in lines that a person can read. One command a line; `#` begins a comment.
///
/// ```
/// with batch 2, window 1, policy release     options; first line only
/// stamp f1 x3        stamp f1 dropped        packets of connection 1; one that the NF drops
/// deliver primary    deliver egress f1 2..3  packets under way arrive: all of them, or those
/// lose secondary f1 2                        a packet under way does not arrive
/// keep primary f1 2  forward                 a former owner, dismissed, keeps a packet; sends on what it kept (R8)
/// primary takes | replays | closes | releases | retransmits | frees | reads | repairs | syncs | tells
/// former forwards                            a primary that has stepped down
/// secondary holds | reads | votes | frees | repairs
/// egress works       acknowledge             egress decides; its word reaches the primaries
/// egress hears                               what a primary tells a new egress arrives
/// messages           messages to primary     control messages arrive and are read: all, until there are no more
/// message to secondary                       the next one alone arrives and is read
/// cut                reconnect
/// crash primary      crash n2                a node fails
/// crash egress       suspect egress          egress fails; the map names another
/// crash stamper                              the stamping unit fails, and another takes its place
/// suspect primary    learn n1 | all          the map changes; a node (or everybody) learns of it
/// move f1 | g0 to 1  expect owner f1 1       somebody leads the move of the group, or the flow's, to that pair; whose it is by the map
/// name secondary                             the map names another secondary
/// wait 20us          run 1ms                 time passes: nothing happens; everything goes on by itself
/// run until owner f1 1                       everything goes on until the map names that pair, and no further
/// expect egress f1 1..3, 5   expect egress f1 nothing   expect released f1 2   expect held 3   expect pair (n1, none, epoch 2)
/// expect losses 1                            how often the map has given up the pair's states
/// settle                                     nothing fails any more: everything must come to its end
/// ```
public enum Scenario {
  /// nil: everything was as it says. Otherwise the line and what was wrong.
  public static func run(_ text: String, print: ((String) -> Void)? = nil) -> String? {
    var lines: [(number: Int, words: [String])] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let code = line.prefix { $0 != "#" }
      let words = code.split { $0 == " " || $0 == "," || $0 == "(" || $0 == ")" }.map(String.init)
      if !words.isEmpty { lines.append((index + 1, words)) }
    }
    var options = SimulationOptions(directed: ())
    if let first = lines.first, first.words[0] == "with" {
      if let problem = options.set(first.words.dropFirst()) { return "line \(first.number): \(problem)" }
      lines.removeFirst()
    }
    let run = ScenarioRun(options, print: print)
    defer { run.simulation.finish() }
    for (number, words) in lines {
      if let problem = run.perform(words) { return "line \(number): \(words.joined(separator: " ")): \(problem)" }
      if let violation = run.simulation.violation {
        return "line \(number): \(words.joined(separator: " ")): \(violation.property.rawValue): \(violation.detail)"
      }
    }
    return nil
  }
}

extension SimulationOptions {
  /// What a scenario begins with: one pair on n0 and n1, no faults but those it names.
  init(directed: Void) {
    self.init(seed: 1)
    faults = .none
    (units, pairs, nodes, slotsPerUnit, keys, packets) = (1, 1, 3, 16, 8, 0)
    (burst, interruption, pool, sharesPackets, closesFlows) = (64, 0, 8192, true, false)
    (inputBuffer, releaseRing, egressHold, inbox, prepareLog, commitLog) = (64, 64, 64, 16, 4, 4)
    function = SimulatedFunction(dropBelow: 1)
    replication.batch = 8
    replication.window = 4
    replication.dryWindow = 4
    replication.flushInterval = 10_000
    replication.stateClockPackets = 1
    replication.stateClockInterval = 10_000
    replication.retained = 64
    replication.held = 256
    replication.pending = 16
    replication.pendingPerFlow = 16
    replication.policy = .release
    replication.ambiguity = .resend
    (pathLatency, controlLatency, pollInterval, idleTimeout) = (500, 5_000, 500, 1_000_000_000)
  }

  /// Takes pairs of names and values; returns what it does not understand.
  mutating func set(_ words: ArraySlice<String>) -> String? {
    var rest = words
    while let name = rest.popFirst() {
      guard let text = rest.popFirst() else { return "\(name) needs a value" }
      let number = Int(text) ?? 0
      switch name {
      case "batch": replication.batch = number
      case "window": (replication.window, replication.dryWindow) = (number, number)
      case "clock": replication.stateClockPackets = number
      case "pending": (replication.pending, replication.pendingPerFlow) = (number, number)
      case "hold": egressHold = number
      case "gap": replication.gapTimeout = UInt64(number)
      case "losses": replication.lostRanges = number
      case "ambiguity": replication.ambiguity = text == "discard" ? .discard : .resend
      case "timeout": replication.acknowledgeTimeout = UInt64(number)
      case "chunk": replication.snapshotChunk = number
      case "slots": slotsPerUnit = number
      // Groups move where a line says so.
      case "pairs": (pairs, nodes, moveInterval) = (number, 2 * number, 1_000_000)
      case "groups": replication.flowGroups = number
      case "policy": replication.policy = text == "hold" ? .hold : .release
      case "shared": sharesPackets = text == "yes"
      default: return "no option \(name)"
      }
    }
    return nil
  }
}
