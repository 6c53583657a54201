import Testing

@testable import DEFTCore

/// `SlotPool`'s transition table, prohibited moves included.
@Suite struct SlotPoolTests {
  static let layout = FlowIDLayout(units: 2, slotsPerUnit: 8)

  @Test func freeOpenClosingFree() {
    let arena = TableArena()
    var pool = SlotPool(unit: 1, layout: Self.layout, count: 6, memory: arena.allocate)
    var taken: [UInt32] = []
    while let flowID = pool.take() { taken.append(flowID) }
    #expect(taken == (0..<6).map { Self.layout.first(unit: 1, slot: $0) }, "dense, lowest first")
    #expect(pool.occupied == 6)

    let wasFreed = pool.free(taken[2])
    #expect(!wasFreed, "open → free would use an open generation again")
    pool.beginClose(taken[2])
    #expect(pool.closingCount == 1 && pool.occupied == 6)
    let nothing = pool.take()
    #expect(nothing == nil, "closing is not free")
    let stale = pool.free(Self.layout.following(taken[2]))
    #expect(!stale, "another generation's notice")
    let freed = pool.free(taken[2])
    #expect(freed && pool.closingCount == 0 && pool.occupied == 5)
    let again = pool.free(taken[2])
    #expect(!again, "a repeated notice")
    let next = pool.take()
    #expect(next == Self.layout.following(taken[2]))
  }

  @Test func slotsBeyondTheCountAreNobodys() {
    let arena = TableArena()
    var pool = SlotPool(unit: 0, layout: Self.layout, count: 6, memory: arena.allocate)
    let freed = pool.free(Self.layout.first(unit: 0, slot: 7))
    #expect(!freed)
  }

  @Test func lastFreedIsFirstUsed() {
    let arena = TableArena()
    var pool = SlotPool(unit: 0, layout: Self.layout, count: 6, memory: arena.allocate)
    let taken = (0..<4).compactMap { _ in pool.take() }
    for flowID in [taken[1], taken[3]] {
      pool.beginClose(flowID)
      _ = pool.free(flowID)
    }
    let slots = (0..<3).compactMap { _ in pool.take() }.map { Self.layout.slot($0) }
    #expect(slots == [3, 1, 4])
  }

  @Test func closingTwiceEndsTheProcess() async {
    await #expect(processExitsWith: .failure) {
      var pool = SlotPool(unit: 0, layout: SlotPoolTests.layout, count: 6, memory: TableArena().allocate)
      let flowID = pool.take()!
      pool.beginClose(flowID)
      pool.beginClose(flowID)
    }
  }
}
