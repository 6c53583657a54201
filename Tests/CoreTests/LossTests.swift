import DEFTWire
import Testing

@testable import DEFTCore

/// What was declared lost, or waits for its turn, when roles change (R5, R9, R10).
@Suite struct LossTests {
  private func harness(
    _ policy: UnprotectedPolicy = .release, _ change: (inout HarnessOptions) -> Void = { _ in }
  ) -> FailoverHarness {
    var options = HarnessOptions()
    options.replication.batch = 4
    options.replication.window = 8
    options.replication.stateClockPackets = 1
    options.replication.policy = policy
    options.replication.acknowledgeTimeout = 5_000
    options.replication.lostRanges = 4
    options.replication.snapshotChunk = 1
    options.slots = 16
    change(&options)
    return FailoverHarness(options)
  }
  private func flow(_ harness: FailoverHarness, _ key: Int) -> UInt32 { harness.layout.first(unit: 0, slot: key) }
  /// The primary never gets the packet at `index` of its input.
  private func destroy(_ harness: FailoverHarness, at index: Int) {
    #expect(harness.bank.giveBack(harness.primary.input.remove(at: index).packet, 2))
  }
  /// The primary declares a packet lost, as if both replicas had been found to lack it.
  private func lose(_ harness: FailoverHarness, _ key: Int, _ counter: UInt32) {
    let range = PacketRange(flowID: flow(harness, key), from: counter, count: 1)
    let isDeclared = harness.primary.primary!.pointee.skipBoundLoss(range, now: harness.now)
    #expect(isDeclared)
    harness.runs[flow(harness, key)]!.lose(counter, harness.options.function)
  }
  private func vote(_ harness: FailoverHarness) {
    while harness.sendToSecondary(commit: false) {}
    while harness.deliverMail() {}
    harness.vote()
  }

  /// The copy was here before the vote bound its loss: the successor skips it all the same.
  @Test(arguments: [UnprotectedPolicy.hold, .release]) func heldCopyOfABoundLossIsNotProcessed(policy: UnprotectedPolicy) {
    let harness = harness(policy)
    for _ in 0..<4 { harness.stamp(0) }
    destroy(harness, at: 1)
    harness.deliverToPrimary()
    lose(harness, 0, 2)
    harness.closeBatch(dry: true)
    harness.deliverToSecondary()
    vote(harness)
    #expect(harness.secondary!.secondary!.pointee.votedBatch == 1)
    harness.failPrimary()
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 3)
  }

  /// The loss ends the voted history: nothing that comes later may fill it.
  @Test func lateCopyDoesNotFillABoundLoss() {
    let harness = harness()
    for _ in 0..<3 { harness.stamp(0) }
    destroy(harness, at: 2)
    harness.deliverToPrimary()
    lose(harness, 0, 3)
    harness.closeBatch(dry: true)
    harness.deliverToSecondary(2)
    vote(harness)
    #expect(harness.secondary!.secondary!.pointee.votedBatch == 1 && harness.secondary!.input.count == 1)
    harness.failPrimary()
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 2)
  }

  /// A loss that the sync's sweep has not come to changes the flow as a packet does: its entry goes first.
  @Test func entryIsAsOfBeforeALoss() {
    let harness = harness()
    for key in 0..<12 { harness.stamp(key) }
    harness.settle()
    harness.failSecondary()
    harness.stamp(11)
    harness.stamp(11)
    destroy(harness, at: 0)
    harness.deliverToPrimary()
    harness.addSecondary()
    lose(harness, 11, 2)
    harness.closeBatch(dry: true)
    let kinds = harness.primary.prepares!.messages.map { message in
      message.bytes.withUnsafeBytes { ControlMessageHeader(reading: $0.baseAddress!).kind }
    }
    #expect(kinds == [ControlMessageHeader.Kind.base, .prepare].map(\.rawValue))
    let base = harness.primary.prepares!.messages[0].bytes.withUnsafeBytes {
      StateEntry(reading: $0.baseAddress! + ControlMessageHeader.byteCount)
    }
    #expect(base.flowID == flow(harness, 11) && base.next == 2)
    harness.settle(withSecondary: true)
    #expect(harness.violation == nil)
  }

  /// Copies that found no room in the pendingList are here: what is missing before them is lost, they are not.
  @Test func copiesThatWaitForRoomAreNotLost() {
    let harness = harness { $0.replication.gapTimeout = 1_000 }
    for _ in 0..<6 { harness.stamp(0) }
    let late = harness.secondary!.input.remove(at: 1)
    #expect(harness.bank.giveBack(late.packet, 1))
    harness.secondary!.input.reverse()
    harness.deliverToSecondary()
    harness.secondary!.secondary!.pointee.configuration.pending = 2
    harness.secondary!.secondary!.pointee.configuration.pendingPerFlow = 2
    harness.failPrimary()
    harness.runs[flow(harness, 0)]!.lose(2, harness.options.function)
    let book = LogBook(capacity: 4096, isRetaining: false)
    var log = BookLog(book: book)
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: ReplicationConfiguration.repairBurst)
    for _ in 0..<20 {
      harness.pass()
      harness.now += 1_000
      _ = harness.primary.primary!.pointee.repairGaps(
        now: harness.now, inputIsDry: true, into: &log, unwanted: &unwanted)
    }
    #expect(harness.primary.primary!.pointee.counters.repair.lost == 1)
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 5)
  }

  /// What the primary sent just before it died, and the hold has not taken, is not forgotten.
  @Test func repairedCopiesAreTakenOver() {
    let harness = harness { $0.replication.gapTimeout = 1_000 }
    let bank = harness.bank
    for _ in 0..<2 { harness.stamp(0) }
    let packet = harness.secondary!.input.remove(at: 0).packet
    let length = PacketImage.messageLength(frameLength: 16)
    var message = [UInt8](repeating: 0, count: length)
    message.withUnsafeMutableBytes {
      ControlMessageHeader(kind: .packet, pair: 7, epoch: 3, batch: 0, count: 16, length: length).write(
        to: $0.baseAddress!)
      let image = $0.baseAddress! + ControlMessageHeader.byteCount
      PacketImage(
        time: packet.pointee.time, flowID: packet.pointee.flowID, counter: packet.pointee.counter, layout: .opaque
      ).write(to: image)
      PlainStorage.copyFrame(of: packet, to: image + PacketImage.byteCount)
    }
    #expect(bank.giveBack(packet, 1))
    harness.deliverToSecondary()
    message.withUnsafeBytes { bytes in
      harness.secondary!.secondary!.pointee.receive(bytes) { metadata, frame, references in
        let content = (frame.loadUnaligned(as: UInt64.self), frame.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        return bank.make(metadata, content: content, references: references)
      }
    }
    harness.failPrimary()
    var log = BookLog(book: LogBook(capacity: 4096, isRetaining: false))
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: ReplicationConfiguration.repairBurst)
    harness.pass()
    let primary = harness.primary.primary!
    #expect(primary.pointee.nextRepair == 0)
    let outcome = primary.pointee.repairGaps(now: harness.now, inputIsDry: true, into: &log, unwanted: &unwanted)
    #expect(outcome.unwanted == 0)
    harness.settle()
    #expect(harness.violation == nil && harness.transmitted == 2)
  }

  /// R18: a flow may be far behind the first counter when its entry comes.
  @Test(arguments: [2, 0x4000_0000, 0x7fff_ffff, 0x8000_0002, 0xffff_fff0, 0] as [UInt32])
  func entriesOfLongFlows(next: UInt32) {
    let harness = harness()
    harness.failSecondary()
    harness.addSecondary()
    let secondary = harness.secondary!.secondary!
    let size = ReplicationConfiguration.stateEntryBytes(stateSize: MemoryLayout<ScriptedFunction.State>.size)
    var bytes = [UInt8](repeating: 0, count: ControlMessageHeader.byteCount + size)
    bytes.withUnsafeMutableBytes {
      ControlMessageHeader(
        kind: .base, pair: 7, epoch: harness.assignment.epoch, batch: 1, count: 1, detail: UInt32(size),
        length: $0.count
      ).write(to: $0.baseAddress!)
      StateEntry(flowID: flow(harness, 0), next: next, lastPassed: 1, isClosed: false, time: 5).write(
        to: $0.baseAddress! + ControlMessageHeader.byteCount)
    }
    bytes.withUnsafeBytes { secondary.pointee.receive($0) }
    #expect(secondary.pointee.flows.entry(flow(harness, 0)).pointee.next == next)
  }

  // MARK: stepping down (B4)

  enum Door: CaseIterable { case openBatch, fullBuffer, stateClock }

  /// A primary that stepped down releases and commits nothing more, whatever it was about to do.
  @Test(arguments: Door.allCases) func steppedDownPrimaryDoesNothing(door: Door) {
    let harness = harness(door == .fullBuffer ? .hold : .release) {
      $0.replication.retained = 64
      $0.replication.stateClockPackets = 64
    }
    if door != .stateClock {
      harness.failSecondary()
      harness.addSecondary()
    }
    let primary = harness.primary.primary!
    for _ in 0..<(door == .fullBuffer ? 20 : 1) {
      for _ in 0..<4 { harness.stamp(0) }
      harness.deliverToPrimary()
      harness.deliverToSecondary()
      if door != .openBatch { harness.closeBatch(dry: true) }
      vote(harness)
      harness.tell()
      while harness.deliverToPrimaryNode() {}
    }
    if door == .stateClock {
      harness.release()
      harness.runEgress()
    }
    let (released, clocks) = (primary.pointee.counters.released, primary.pointee.clocksTaken)
    primary.pointee.stepDown()
    harness.now += 1_000_000
    harness.closeBatch(dry: true)
    harness.continueSync()
    harness.acknowledge()
    harness.release()
    #expect(primary.pointee.counters.released == released && primary.pointee.clocksTaken <= clocks)
    #expect(!primary.pointee.isSyncing || primary.pointee.counters.releasedWhileSyncing == 0)
  }

  // MARK: bounds

  /// Losses touch flows, too: a batch has room for all that it declares.
  @Test func clocksHaveRoomForLosses() {
    let arena = TableArena()
    let configuration = ReplicationConfiguration(
      batch: 1, window: 1, stateClockPackets: 1, pending: 1, pendingPerFlow: 1, lostRanges: 64)
    var history = ClockHistory(configuration: configuration, memory: arena.allocate)
    _ = history.open(entries: configuration.batchFlows)
    var entries = [UInt8](repeating: 0, count: configuration.batchFlows * ClockEntry.byteCount)
    entries.withUnsafeMutableBytes { bytes in
      for index in 0..<configuration.batchFlows {
        let place = bytes.baseAddress! + index * ClockEntry.byteCount
        ClockEntry(flowID: UInt32(index + 1), next: 2).write(to: place)
      }
    }
    // In two pieces, as two messages would bring them: the second wraps.
    entries.withUnsafeBytes { bytes in
      let half = configuration.batchFlows / 2
      history.append(bytes.baseAddress!, count: half)
      history.append(bytes.baseAddress! + half * ClockEntry.byteCount, count: configuration.batchFlows - half)
    }
    history.close(batch: 1)
    #expect(history.count == configuration.batchFlows)
    for index in 0..<history.count { #expect(history[index].flowID == UInt32(index + 1)) }
  }
}
