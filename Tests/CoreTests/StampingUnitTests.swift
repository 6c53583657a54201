import DEFTWire
import Testing

@testable import DEFTCore

@Suite struct StampingUnitTests {
  private let arena = TableArena()
  private static let idle: UInt64 = 8_000

  private func unit(slots: Int) -> StampingUnit {
    StampingUnit(
      unit: 0, layout: FlowIDLayout(units: 1, slotsPerUnit: slots), seed: 5, idleTimeout: Self.idle,
      memory: arena.allocate)
  }
  /// Stamps one packet of flow `number`.
  private func stamp(_ unit: inout StampingUnit, _ number: Int, now: UInt64) -> (flowID: UInt32, counter: UInt32)? {
    var key = FlowKey(a: UInt64(number), b: 0, c: 0, d: 0, lower: 1, upper: 2, ipProtocol: 6, kind: .ipv4)
    guard let record = unit.table.find(&key, hash: key.hash(seed: 5)) else { return nil }
    return (record.pointee.flowID, unit.take(record, now: now))
  }
  /// Sweeps until a whole round found nothing.
  private func sweep(_ unit: inout StampingUnit, now: UInt64, capacity: Int = 64) -> [ClockEntry] {
    var all: [ClockEntry] = []
    var markers = [ClockEntry](repeating: ClockEntry(flowID: 0, next: 0), count: capacity)
    for _ in 0...unit.table.slots.count / 64 + 1 {
      let count = unit.sweep(now: now, into: &markers, capacity: capacity)
      all += markers[..<count]
    }
    return all
  }

  @Test func idleFlowsEndWithTheirLastCounter() throws {
    var unit = unit(slots: 16)
    let first = try #require(stamp(&unit, 1, now: 1_000))
    for counter: UInt32 in 2...5 { #expect(stamp(&unit, 1, now: 1_000)?.counter == counter) }
    _ = stamp(&unit, 2, now: 5_000)
    #expect(sweep(&unit, now: 1_000 + Self.idle - 1).isEmpty)
    let markers = sweep(&unit, now: 1_000 + Self.idle)
    #expect(markers == [ClockEntry(flowID: first.flowID, next: 6)])
    #expect(sweep(&unit, now: 1_001 + Self.idle).isEmpty, "once")

    // The same 5-tuple meanwhile is another flow in another slot; then the slot's next generation.
    let other = try #require(stamp(&unit, 1, now: 9_500))
    let layout = unit.table.slots.layout
    #expect(other.counter == 1 && layout.slot(other.flowID) != layout.slot(first.flowID))
    let wrong = unit.closeCommitted(other.flowID)
    let right = unit.closeCommitted(first.flowID)
    let twice = unit.closeCommitted(first.flowID)
    #expect(!wrong && right && !twice && unit.closed == 1)
    let next = try #require(stamp(&unit, 3, now: 9_600))
    #expect(next.flowID == layout.following(first.flowID) && next.counter == 1)
  }

  @Test func slotIsNotUsedAgainBeforeTheCloseIsCommitted() throws {
    var unit = unit(slots: 1)
    let flow = try #require(stamp(&unit, 1, now: 0))
    #expect(sweep(&unit, now: Self.idle).count == 1)
    #expect(stamp(&unit, 1, now: Self.idle) == nil && stamp(&unit, 2, now: Self.idle) == nil)
    let isFreed = unit.closeCommitted(flow.flowID)
    #expect(isFreed)
    #expect(stamp(&unit, 2, now: Self.idle)?.counter == 1)
  }

  @Test func closesUnderWayAreBounded() {
    var unit = unit(slots: 4096)
    for number in 0..<2_000 { #expect(stamp(&unit, number, now: 1) != nil) }
    let first = sweep(&unit, now: 1 + Self.idle)
    #expect(first.count == StampingUnit.maximumClosing && unit.table.slots.closingCount == 1024)
    #expect(sweep(&unit, now: 2 + Self.idle).isEmpty)
    for marker in first[..<10] {
      let isFreed = unit.closeCommitted(marker.flowID)
      #expect(isFreed)
    }
    #expect(sweep(&unit, now: 3 + Self.idle).count == 10)
  }

  @Test func sweepTakesNoMoreThanItIsGivenRoomFor() {
    var unit = unit(slots: 256)
    for number in 0..<100 { _ = stamp(&unit, number, now: 1) }
    var markers = [ClockEntry](repeating: ClockEntry(flowID: 0, next: 0), count: 3)
    let none = unit.sweep(now: 1 + Self.idle, into: &markers, capacity: 0)
    let three = unit.sweep(now: 1 + Self.idle, into: &markers, capacity: 3)
    #expect(none == 0 && three == 3 && unit.sweepIsDue(now: 1 + Self.idle), "it goes on where it stopped")
    #expect(sweep(&unit, now: 1 + Self.idle, capacity: 3).count <= 3 * 5)
  }

  /// A whole round takes an eighth of the idle time-out, whoever asks how often.
  @Test func roundsArePaced() {
    var unit = unit(slots: 1024)
    var steps = 0
    for now in UInt64(1)...Self.idle where unit.sweepIsDue(now: now) {
      #expect(sweepOnce(&unit, now: now) == 0)
      steps += 1
    }
    #expect(steps >= 12 * 8 - 1 && steps <= 12 * 8 + 9, "\(steps)")
  }
  private func sweepOnce(_ unit: inout StampingUnit, now: UInt64) -> Int {
    var marker = ClockEntry(flowID: 0, next: 0)
    return unit.sweep(now: now, into: &marker, capacity: 1)
  }

  /// Clocks that go back (a capture's) end no flow.
  @Test func timeThatGoesBackIsNotIdleness() {
    var unit = unit(slots: 16)
    _ = stamp(&unit, 1, now: 1_000_000)
    #expect(sweep(&unit, now: 5).isEmpty && sweep(&unit, now: 1_000_000).isEmpty)
  }
}
