import DEFTWire

/// What a stamping unit that takes the place of one that failed has been told of its slots.
struct SlotRecovery {
  let incarnation: UInt32
  /// By slot: what all reports come to.
  let reports: UnsafeMutablePointer<SlotReport>
  var unknownCount: Int
  var orphanCount = 0
  /// Where `takeOrphan` looks next.
  var hand = 0

  init(incarnation: UInt32, count: Int, memory: TableMemory) {
    self.incarnation = incarnation
    reports = memory(count * MemoryLayout<SlotReport>.stride).bindMemory(to: SlotReport.self, capacity: count)
    unknownCount = count
    for slot in 0..<count { reports[slot] = SlotReport(flowID: 0, end: Stamp.firstCounter, isEnded: false) }
  }

  /// Generations to skip from the last one that is known to be over. Of those that nobody knows, each earlier incarnation
  /// may have used one: its first for the slot, whose packets never arrived, and may live on somewhere (a former owner of the
  /// group that was dismissed sends on what it kept, past the units: R8). So each has a distance of its own, of at least 2
  /// and, since later must stay later with 9 bits of generation, of at most 129: what comes back after 128 failures of a unit
  /// is not under way any more.
  var skip: UInt32 { 2 + incarnation % 128 }
  /// The same, if both replicas of the slot's pair are lost and the last generation that is known may be egress's. Behind any
  /// that an earlier incarnation can have used, for those are over now: each is at most `skip` behind one that was let out. (What
  /// this one skips to is used only once egress knows of it: `UnitRestart`.)
  var skipOfLost: UInt32 { 130 }
}

// A stamping unit fails and another takes its place, with nothing but a number: the incarnation, which the cluster map gives
// out by compare-and-set. Its predecessor's flows are orphans: nobody knows their next counters. They are closed in band,
// like idle flows, by a marker behind the last counter that a replica knows; so all that follows (gap repair, votes, egress,
// the slot's return) is what it always is, and no replica has to know that a unit failed.
//
// Why the marker cannot meet a packet of the same counter: a replica reports after it has shut itself to packets of the earlier
// incarnations, so whatever counter it has ever taken is in a report, and the marker is behind all of them.
extension SlotPool {
  /// Slots of which it is not known yet what they hold.
  public var unknownCount: Int { recovery?.unknownCount ?? 0 }
  /// Flows of the earlier incarnation whose close marker has not been stamped.
  public var orphanCount: Int { recovery?.orphanCount ?? 0 }

  /// Their flow IDs.
  public var orphans: [UInt32] {
    guard orphanCount > 0 else { return [] }
    return (0..<count).filter { states[$0] == .orphaned }.map { flowIDs[$0] }
  }

  /// A replica says what it knows. Reports of other units, or of slots that are resolved, change nothing.
  mutating func note(_ report: SlotReport) {
    guard let recovery, report.flowID != 0, layout.unit(report.flowID) == unit else { return }
    let slot = layout.slot(report.flowID)
    guard slot < count, states[slot] == .unknown else { return }
    recovery.reports[slot].merge(report, layout)
  }

  /// All replicas that the map names for this slot have reported (`GroupInquiry`).
  mutating func resolve(_ slot: Int) {
    guard states[slot] == .unknown, let reported = recovery?.reports[slot], let skip = recovery?.skip else { return }
    recovery!.unknownCount -= 1
    if reported.flowID == 0 {
      // As if the generation before the first had been the last one.
      release(slot, next: layout.skipping(flowIDs[slot], by: skip - 1))
    } else if reported.isEnded, reported.isCommitted {
      release(slot, next: layout.skipping(reported.flowID, by: skip))
    } else {
      states[slot] = .orphaned
      flowIDs[slot] = reported.flowID
      recovery!.orphanCount += 1
    }
  }

  /// Both replicas of the slot's pair are lost before they could report all, and egress has: whatever the slot had is over.
  mutating func resolveLost(_ slot: Int) {
    guard states[slot] == .unknown, let reported = recovery?.reports[slot], let skip = recovery?.skipOfLost else { return }
    recovery!.unknownCount -= 1
    let isKnown = reported.flowID != 0
    release(slot, next: layout.skipping(isKnown ? reported.flowID : flowIDs[slot], by: isKnown ? skip : skip - 1))
  }

  /// The next orphan, with the counter of its close marker: behind the last packet, or the marker's own if the failed unit
  /// had stamped it already (then it is sent again). nil: none among the next `limit` slots.
  mutating func takeOrphan(limit: Int) -> ClockEntry? {
    guard orphanCount > 0 else { return nil }
    for _ in 0..<limit {
      let slot = recovery!.hand
      recovery!.hand = slot + 1 == count ? 0 : slot + 1
      guard states[slot] == .orphaned else { continue }
      let report = recovery!.reports[slot]
      states[slot] = .closing
      closingCount += 1
      recovery!.orphanCount -= 1
      return ClockEntry(flowID: report.flowID, next: report.isEnded ? report.end &- 1 : report.end)
    }
    return nil
  }
}
