import Testing

@testable import DEFTCore

@Suite struct FlowIDLayoutTests {
  @Test(arguments: [(1, 1), (1, 16), (2, 1024), (3, 1024), (4, 8), (5, 1 << 20), (1, 1 << 23)])
  func partsAreDisjointAndReadBack(units: Int, slots: Int) {
    let layout = FlowIDLayout(units: units, slotsPerUnit: slots)
    #expect(layout.indexCount >= units * slots && layout.indexCount <= 1 << 23)
    var seen: Set<UInt32> = []
    for unit in 0..<units {
      for slot in Set([0, 1 % slots, slots / 2, slots - 1]) {
        var flowID = layout.first(unit: unit, slot: slot)
        let index = layout.index(flowID)
        for generation: UInt32 in 1...4 {
          #expect(layout.unit(flowID) == unit && layout.slot(flowID) == slot)
          #expect(layout.index(flowID) == index && layout.generation(flowID) == generation)
          #expect(index == unit * slots + slot && seen.insert(flowID).inserted && flowID != 0)
          flowID = layout.following(flowID)
        }
      }
    }
  }

  /// Nine bits of generation at least, and never generation 0.
  @Test func generationsWrapWithoutAZero() {
    let layout = FlowIDLayout(units: 2, slotsPerUnit: 1 << 22)
    let first = layout.first(unit: 1, slot: 77)
    var flowID = first
    for _ in 0..<511 {
      let next = layout.following(flowID)
      #expect(layout.generation(next) != 0 && layout.slot(next) == 77 && layout.unit(next) == 1)
      #expect(layout.isLater(next, than: flowID) && !layout.isLater(flowID, than: next))
      flowID = next
    }
    #expect(flowID == first)
    #expect(!layout.isLater(first, than: first))
  }

  @Test func laterIsSerial() {
    let layout = FlowIDLayout(units: 1, slotsPerUnit: 16)
    let first = layout.first(unit: 0, slot: 3)
    let step: UInt32 = 16
    #expect(layout.isLater(first &+ 1000 * step, than: first))
    #expect(layout.isLater(first, than: 0 &- 5 * step | 3))
    #expect(!layout.isLater(0 &- 5 * step | 3, than: first))
    // Only the generation counts.
    #expect(layout.isLater(layout.following(first), than: first | 12))
  }

  @Test func tooManyFlowsEndTheProcess() async {
    await #expect(processExitsWith: .failure) { _ = FlowIDLayout(units: 3, slotsPerUnit: 1 << 22) }
    await #expect(processExitsWith: .failure) { _ = FlowIDLayout(units: 1, slotsPerUnit: 24) }
    await #expect(processExitsWith: .failure) { _ = FlowIDLayout(units: 0, slotsPerUnit: 16) }
  }
}
