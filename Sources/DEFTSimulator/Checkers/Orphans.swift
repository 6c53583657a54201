import DEFTCore
import DEFTWire

// R16: of a stamping unit that failed, what no replica knows never was; what one knows is closed behind the last packet
// that any has, and no flow ID is used twice.
extension Simulation {
  /// What a unit sends counts unless a successor knows already what became of the slot.
  func counts(_ flowID: UInt32, _ incarnation: UInt32) -> Bool {
    incarnation >= resolvedBy[layout.unit(flowID)][group(flowID)]
  }

  /// A replica that the map does not name any more may go on with packets that nobody else had, and that never were, since
  /// the unit that sent them has failed. Nothing that it prepares will be voted for (R6). (Its node may have another part by now.)
  func isCutOff(_ flowID: UInt32, for actor: any ReplicaActor) -> Bool {
    cutFlows.contains(flowID) && primary(actor.pair) !== actor && secondary(actor.pair) !== actor
  }

  /// A unit that was replaced, and does not know it, goes on stamping. Once its successor knows what became of its flows, all
  /// replicas that the map names are shut to it: such a packet never was, too. But a replica that was dismissed, and knows of
  /// neither change, may take it.
  func noteUncounted(_ flowID: UInt32) { cutFlows.insert(flowID) }

  /// Of whoever has, or will have, the group's packets by the map: its owner's replicas, and former owners' that it waits for.
  private func marks(ofGroup group: Int) -> [Int] {
    let assignment = map.group(group)
    var marks = [primary(assignment.pair)?.mark, secondary(assignment.pair)?.mark]
    if case .inheriting(let source, let first, let second) = assignment.phase {
      for node in [first, second] { marks.append(node.flatMap { nodes[Int($0.rawValue)].roles[source].actor?.mark }) }
    }
    return marks.compactMap { $0 }
  }

  /// The successor of a unit has resolved a group's slots: flows that nobody knows are gone.
  func noteResolved(unit: Int, group: Int, incarnation: UInt32, orphans: [UInt32]) {
    guard incarnation >= resolvedBy[unit][group] else { return }
    resolvedBy[unit][group] = incarnation
    let marks = marks(ofGroup: group)
    for index in allFlows.indices where layout.unit(UInt32(index)) == unit && self.group(UInt32(index)) == group {
      guard let flow = allFlows[index].last, !orphans.contains(flow.flowID), !flow.isKnown(to: marks) else { continue }
      trace("flow \(flow.flowID) never was: nobody knows it")
      occurrences.note(.orphanForgotten)
      cutFlows.insert(flow.flowID)
      forgetFlow(at: index)
    }
  }

  /// The same of a pair that has lost its states: whatever there was is over.
  func noteResolvedLost(unit: Int, group: Int, incarnation: UInt32) {
    guard incarnation >= resolvedBy[unit][group] else { return }
    resolvedBy[unit][group] = incarnation
    let pair = map.group(group).pair
    for index in allFlows.indices where layout.unit(UInt32(index)) == unit && self.group(UInt32(index)) == group {
      guard let flow = allFlows[index].last, flow.endedIn == nil else { continue }
      if !flow.isClosing || flow.out < flow.next - 1 { noteEnded(flow.flowID, pair: pair, epoch: map[pair].epoch) }
    }
  }

  /// The close marker of a flow whose unit failed. True: it is a new one; false: it was stamped before, and comes again.
  func noteOrphan(_ marker: ClockEntry, incarnation: UInt32) -> Bool {
    guard counts(marker.flowID, incarnation) else { return false }
    guard let flow = flow(marker.flowID) else {
      fail(.slots, "flow \(marker.flowID) is closed, which was never stamped")
      return false
    }
    if flow.isClosing, marker.next == flow.next - 1 {
      occurrences.note(.orphanMarkerAgain)
      return false
    }
    require(marker.next <= flow.next && flow.out < marker.next && flow.votedNext <= marker.next, .slots) {
      "flow \(flow.flowID) is closed at \(marker.next): stamped is \(flow.next), out \(flow.out), voted \(flow.votedNext)"
    }
    let marks = marks(ofGroup: group(flow.flowID))
    for counter in marker.next..<max(marker.next, flow.next) {
      occurrences.note(.packetsOfOrphanLost)
      require(!marks.contains { flow.isHeld(counter, $0) }, .slots) {
        "flow \(flow.flowID) is closed at \(marker.next), and \(counter) is held"
      }
    }
    occurrences.note(.orphanClosed)
    if marker.next < flow.next { cutFlows.insert(flow.flowID) }
    if violation == nil { flow.truncate(to: marker.next) }
    return true
  }
}
