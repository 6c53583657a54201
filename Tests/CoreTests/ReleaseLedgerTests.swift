import Testing

@testable import DEFTCore

/// What egress acknowledges (R2).
@Suite struct ReleaseLedgerTests {
  private let arena = TableArena()

  @Test func anyOrderAnyDoubles() {
    for seed in UInt64(1)...50 {
      var random = SeededGenerator(seed: seed)
      var ledger = ReleaseLedger(capacity: 64, memory: arena.allocate)
      var model: Set<Int> = []
      var next = 0
      for _ in 0..<2_000 {
        let sequence = max(0, next - 8 + random.below(80))
        let count = 1 + random.below(3)
        ledger.settle(stream: 7, from: UInt32(sequence), count: count)
        for place in sequence..<sequence + count where place >= next && place < next + 64 {
          model.insert(place)
          while model.remove(next) != nil { next += 1 }
        }
        #expect(ledger.acknowledged == UInt64(next), "seed \(seed)")
      }
    }
  }

  @Test func whatIsMissingIsNotAcknowledged() {
    var ledger = ReleaseLedger(capacity: 64, memory: arena.allocate)
    ledger.settle(stream: 1, from: 0, count: 10)
    ledger.settle(stream: 1, from: 11, count: 5)
    #expect(ledger.acknowledged == 10)
    ledger.settle(stream: 1, from: 200, count: 1)
    #expect(ledger.acknowledged == 10 && ledger.beyondWindow == 1)
    ledger.settle(stream: 1, from: 10, count: 1)
    #expect(ledger.acknowledged == 16)
  }

  @Test func streamsBeginAnew() {
    var ledger = ReleaseLedger(capacity: 64, memory: arena.allocate)
    ledger.settle(stream: 1, from: 0, count: 10)
    ledger.settle(stream: 1, from: 20, count: 10)
    ledger.settle(stream: 4, from: 1, count: 1)
    #expect(ledger.acknowledged == 0 && ledger.stream == 4)
    ledger.settle(stream: 1, from: 10, count: 10)
    #expect(ledger.acknowledged == 0 && ledger.earlierStream == 10, "a dead primary's last packets")
    ledger.settle(stream: 4, from: 0, count: 1)
    #expect(ledger.acknowledged == 2)
  }

  @Test func sequencesWrap() {
    var ledger = ReleaseLedger(capacity: 64, memory: arena.allocate)
    ledger.dealtWith = 0xffff_fff0
    ledger.settle(stream: 0, from: 0xffff_fff0, count: 32)
    #expect(ledger.acknowledged == 0x1_0000_0010)
    ledger.settle(stream: 0, from: 0x11, count: 1)
    ledger.settle(stream: 0, from: 0x10, count: 1)
    #expect(ledger.acknowledged == 0x1_0000_0012)
  }
}
