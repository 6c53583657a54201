import DEFTWire
import Testing

@testable import DEFTCore

/// What goes first where the log of gap repair has hardly any room.
@Suite struct RepairOrderTests {
  private func harness() -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 2
    options.replication.gapTimeout = 10_000
    options.replication.gaps = 8
    let harness = PairHarness(options)
    harness.isLossless = true
    return harness
  }

  /// A vote waits for the answer, and what the primary asks for finds no place there before the vote (the simulator's seeds
  /// 51435 and 73239).
  @Test func theSecondaryAsksBeforeItAnswers() {
    let harness = harness()
    harness.stampLost(0, toSecondary: true)
    harness.deliverToPrimary()
    harness.closeBatch(dry: true)
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMessageToSecondary() {}
    for _ in 0..<20 { harness.stamp(1) }
    harness.deliverToSecondary()
    let wanted = PacketRange(flowID: harness.runs.keys.max()!, from: 1, count: 20)
    // The primary asks without end, and its control thread takes a message at a time.
    let book = LogBook(capacity: 2 * PacketImage.messageLength(frameLength: 16), isRetaining: false)
    var log = BookLog(book: book)
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: ReplicationConfiguration.repairBurst)
    var sent: [[UInt8]] = []
    for _ in 0..<100 {
      harness.now += harness.options.replication.gapTimeout / 16 + 1
      harness.tellSecondary(harness.ranges(.want, [wanted]))
      _ = harness.secondary.repairGaps(now: harness.now, inputIsDry: true, into: &log, unwanted: &unwanted)
      if let message = book.read() { sent.append(message) }
    }
    #expect(harness.kinds(sent).contains(.want) && harness.kinds(sent).contains(.packet))
    #expect(harness.secondary.counters.repair.logFull > 0)
  }

  /// A question that is longer than the log has room for begins with what the oldest vote waits for.
  @Test func aQuestionIsAsLongAsThereIsRoomFor() {
    let book = LogBook(capacity: ControlMessageHeader.byteCount + 3 * PacketRange.byteCount, isRetaining: false)
    var log = BookLog(book: book)
    let arena = TableArena()
    var ranges = RangeList(capacity: 8, memory: arena.allocate)
    for flow in 1...8 { _ = ranges.add(PacketRange(flowID: UInt32(flow), from: 1, count: 1)) }
    let messages = ReplicationConfiguration().messages(1)
    let isWhole = messages.send(.want, ranges, into: &log)
    let isBegun = messages.sendFirst(.want, ranges, into: &log)
    #expect(!isWhole && isBegun)
    let (count, first) = book.read()!.withUnsafeBytes { bytes in
      let message = bytes.baseAddress!
      return (
        ControlMessageHeader(reading: message).count, PacketRange(reading: message + ControlMessageHeader.byteCount)
      )
    }
    #expect(count == 2 && first == PacketRange(flowID: 1, from: 1, count: 1))
  }
}
