import DEFTWire

// A unit that takes the place of one that failed (paper, VI-C): its flows begin anew, as new flows, once the slots are known
// that may be used.
//
// | slots of a flow group | on | to |
// |---|---|---|
// | asked for (`GroupInquiry`) | each replica that the map names for their owner has reported all, under one version of the group's entry and one epoch of its pair | resolved |
// | asked for | the pair has lost its states; egress has reported | all free: what there was is over |
// | resolved | its orphans' markers are stamped, at most `maximumClosing` under way, and their closes are committed | done |
//
// Prohibited: resolved by the reports of one replica of two (the other may hold later packets).
extension StampingUnit {
  /// Some slots are still unknown, or their flows not closed.
  public var isRecovering: Bool { table.slots.unknownCount > 0 || table.slots.orphanCount > 0 }

  /// What a replica of the pair that owns the slot says of it, or egress; of other slots it may say something, too.
  public mutating func note(_ report: SlotReport) { table.slots.note(report) }

  /// All replicas of the pair that owns these slots have reported (`GroupInquiry`). In pieces, so that other units on the lcore keep going.
  public mutating func resolve(_ slots: Range<Int>, isOwned: (_ flowIndex: Int) -> Bool) {
    let (layout, unit) = (table.slots.layout, table.slots.unit)
    for slot in slots.clamped(to: 0..<table.slots.count) {
      if isOwned(layout.index(layout.first(unit: unit, slot: slot))) { table.slots.resolve(slot) }
    }
  }

  /// Egress has reported, and the pair's new primary has nothing (`GroupInquiry.Phase.lost`): the flows of these slots are over.
  public mutating func resolveLost(_ slots: Range<Int>, isOwned: (_ flowIndex: Int) -> Bool) {
    let (layout, unit) = (table.slots.layout, table.slots.unit)
    for slot in slots.clamped(to: 0..<table.slots.count) {
      if isOwned(layout.index(layout.first(unit: unit, slot: slot))) { table.slots.resolveLost(slot) }
    }
  }

  /// The close markers that are to be stamped for orphans now, as `sweep` for idle flows.
  public mutating func sweepOrphans(into markers: UnsafeMutablePointer<ClockEntry>, capacity: Int) -> Int {
    var count = 0
    while count < capacity, table.slots.closingCount < StampingUnit.maximumClosing,
      let marker = table.slots.takeOrphan(limit: StampingUnit.orphanStep)
    {
      markers[count] = marker
      count += 1
    }
    return count
  }
  /// Slots looked at for the next orphan.
  private static var orphanStep: Int { 64 }
}
