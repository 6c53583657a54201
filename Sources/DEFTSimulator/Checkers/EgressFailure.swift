import DEFTCore
import DEFTWire

// R12: what leaves twice, or never, because an egress failed is no more than the primary counts as ambiguous: under `resend`
// nothing is lost, under `discard` nothing leaves twice.
extension Simulation {
  /// A new egress begins with what it was told. From here on a flow's packets leave from there.
  func noteTold(_ telling: Telling, _ entries: [Int: EgressEntry]) {
    for entry in entries.values where flow(entry.flowID) != nil {
      require(pair(entry.flowID) == telling.pair, .oneOwner) {
        "pair \(telling.pair) tells egress of flow \(entry.flowID), which is pair \(pair(entry.flowID))'s"
      }
    }
    var (twice, never) = (0, 0)
    for flow in allFlows.joined() where flow.pair == telling.pair {
      guard let last = beginning(flow, entries[layout.index(flow.flowID)]) else { continue }
      twice += leaving(flow, after: last, through: flow.out)
      never += leaving(flow, after: flow.out, through: last)
      if last < flow.out { flow.outBefore = (max(flow.out, flow.outBefore.counter), telling.pair, telling.stream) }
      flow.out = last
    }
    trace(
      "egress \(telling.term) knows where pair \(telling.pair) begins: \(twice) leave twice, \(never) never, "
        + "\(telling.ambiguous) are ambiguous")
    occurrences.note(.ambiguousResent, UInt64(twice))
    occurrences.note(.ambiguousLost, UInt64(never))
    let isResent = options.replication.ambiguity == .resend
    require(isResent ? never == 0 : twice == 0, .exactlyOnce) { "\(twice) would leave twice, \(never) never" }
    require(UInt64(twice + never) <= telling.ambiguous, .exactlyOnce) {
      "\(twice) leave twice, \(never) never, and \(telling.ambiguous) are counted as ambiguous"
    }
  }

  /// A group has moved: where its flows begin the egress that the map names has been told by the former owner, and nothing that
  /// the new one may still say counts.
  func checkTold(_ group: Int, _ pairs: [Int]) {
    guard !egress.isGone else { return }
    for pair in pairs {
      require(egress.isTold(pair) && egress.term(pair) == map[pair].egressTerm, .movedState) {
        "group \(group) moves, and egress \(egress.term(pair)) does not know where pair \(pair) begins"
      }
    }
  }

  /// nil: the flow is over.
  private func beginning(_ flow: FlowHistory, _ entry: EgressEntry?) -> UInt32? {
    guard let entry else { return 0 }
    if entry.flowID == flow.flowID { return entry.last }
    return layout.isLater(entry.flowID, than: flow.flowID) ? nil : 0
  }

  private func leaving(_ flow: FlowHistory, after first: UInt32, through last: UInt32) -> Int {
    guard first < last else { return 0 }
    return (first + 1...last).count { flow.point(before: $0 + 1, options.function)?.leaves ?? false }
  }
}
