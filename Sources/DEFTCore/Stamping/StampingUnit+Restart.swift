import DEFTWire

/// What one stamping unit does about a pair that has lost its states: the map's `losses` of the pair have grown.
///
/// | phase | on | to |
/// |---|---|---|
/// | ending | a piece of the slots was looked at: their generations have ended | ending; telling after the last |
/// | ending | a slot comes whose flows are the pair's and not known yet: the unit is in another's place (`GroupInquiry`) | ending: it waits |
/// | telling | the pair's new primary has taken the floors of a piece of the slots | telling; told after the last |
/// | telling | it may not have | telling, from the first slot: the same floors again |
/// | told | the pair's primary begins with nothing no more: egress knows of the floors, too (`primaryHasBegun`) | over |
/// | any | `losses` have grown again | another of these, from the beginning |
///
/// Prohibited: stamping anything for the pair before *over* (the unit has no credit, R17), so that no packet of a new generation
/// comes where nobody knows that the old ones are over, and none is used of which egress has no floor; the floors of an incarnation that the new primary knows to be replaced.
public struct UnitRestart: Sendable, Equatable {
  public enum Phase: Sendable { case ending, telling, told, over }
  /// The pair's, by which the map named the new primary.
  public let epoch: UInt32
  public private(set) var phase = Phase.ending
  /// The next slot.
  public private(set) var slot = 0

  public init(epoch: UInt32) { self.epoch = epoch }

  mutating func advance(_ limit: Int, of count: Int) {
    slot = min(slot + limit, count)
    guard slot == count else { return }
    phase = phase == .ending ? .telling : .told
    slot = 0
  }
  /// The pair's primary, of this epoch or a later one, is not restarting (`PrimaryReplica.isRestarting`).
  public mutating func primaryHasBegun() { if phase == .told { phase = .over } }
  /// What was told may not have arrived.
  public mutating func tellAgain() { if phase == .telling { slot = 0 } }
}

extension StampingUnit {
  /// One piece of *ending*, so that other units on the lcore keep going: of the next `limit` slots that ever had a flow, those whose
  /// flows are the pair's. Flows that were open go on with the next packet, as new flows; slots of flows that were closing are free.
  /// `body` is called with each flow ID that has ended, and the counter that its next packet, or its close marker, had got.
  public mutating func endGenerations(
    _ restart: inout UnitRestart, limit: Int, isOwned: (_ flowIndex: Int) -> Bool, _ body: (ClockEntry) -> Void = { _ in }
  ) {
    guard restart.phase == .ending else { return }
    let end = table.slots.usedEnd
    for slot in restart.slot..<min(restart.slot + limit, end) where isOwned(index(slot)) {
      if table.slots.isUnknown(slot) { return restart.advance(slot - restart.slot, of: end) }
      guard let flowID = table.slots.endGeneration(slot) else { continue }
      let next = table.nextCounter(slot)
      if let record = table.active(slot) {
        record.pointee.flowID = table.slots.flowIDs[slot]
        record.pointee.nextCounter = Stamp.firstCounter
      }
      restarted &+= 1
      body(ClockEntry(flowID: flowID, next: next))
    }
    restart.advance(limit, of: end)
  }

  /// One piece of *telling*: `body` is called with the floors of the next `limit` slots, as far as they are the pair's, and
  /// gives them to its new primary (`takeFloor`). After the last piece the primary is to be told so (`floorsAreTold`).
  public func tellFloors(
    _ restart: inout UnitRestart, limit: Int, isOwned: (_ flowIndex: Int) -> Bool, _ body: (UInt32) -> Void
  ) {
    guard restart.phase == .telling else { return }
    let end = table.slots.usedEnd
    for slot in restart.slot..<min(restart.slot + limit, end) where isOwned(index(slot)) {
      if let floor = table.slots.floor(slot) { body(floor) }
    }
    restart.advance(limit, of: end)
  }

  private func index(_ slot: Int) -> Int {
    let layout = table.slots.layout
    return layout.index(layout.first(unit: table.slots.unit, slot: slot))
  }
}
