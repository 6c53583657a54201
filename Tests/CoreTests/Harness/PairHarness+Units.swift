import DEFTWire

@testable import DEFTCore

// The stamping unit fails (paper, VI-C).
extension PairHarness {
  /// Another takes its place, with nothing. What is on the ways is lost: the replicas take nothing more of the old one.
  func replaceUnit(incarnation: UInt32) {
    for way in [\PairHarness.toPrimary, \PairHarness.toSecondary] {
      for packet in self[keyPath: way].take(.max) { giveBack(packet, self[keyPath: way].references, "the way") }
    }
    unit = StampingUnit(
      unit: 0, layout: layout, seed: tableSeed, idleTimeout: options.idleTimeout, incarnation: incarnation,
      memory: arena.allocate)
  }

  /// What the replicas say of it, and what follows: returns the orphans' markers, which are sent.
  @discardableResult
  func recoverUnit() -> [ClockEntry] {
    var reports: [SlotReport] = []
    let slots = 0..<unit.table.slots.count
    primary.reportWaiting(unit: 0) { reports.append($0) }
    secondary.reportWaiting(unit: 0) { reports.append($0) }
    for group in 0..<options.replication.flowGroups {
      primary.reportSlots(unit: 0, slots, group: group) { reports.append($0) }
      secondary.reportSlots(unit: 0, slots, group: group) { reports.append($0) }
    }
    for report in reports { unit.note(report) }
    unit.resolve(slots) { _ in true }
    var markers = [ClockEntry](repeating: ClockEntry(flowID: 0, next: 0), count: 64)
    let count = unit.sweepOrphans(into: &markers, capacity: 64)
    for marker in markers[..<count] {
      var flags = FrameLayout.opaque
      flags.isCloseMarker = true
      withRun(marker.flowID) {
        if marker.next == $0.next {
          $0.close(time: now)
        } else {
          require(marker.next == $0.next &- 1, "the marker \(marker) does not follow what was stamped")
        }
      }
      send(PacketMetadata(time: now, flowID: marker.flowID, counter: marker.next, layout: flags), 0)
    }
    return Array(markers[..<count])
  }
}
