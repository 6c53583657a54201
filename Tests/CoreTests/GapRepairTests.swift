import DEFTWire
import Testing

@testable import DEFTCore

/// Packets that one replica lacks, or both (R4, R5, R10, B3).
@Suite struct GapRepairTests {
  private func harness(_ change: (inout HarnessOptions) -> Void = { _ in }) -> PairHarness {
    var options = HarnessOptions()
    options.replication.batch = 2
    options.replication.window = 4
    options.replication.stateClockPackets = 1
    options.replication.gapTimeout = 10_000
    options.replication.gaps = 8
    options.replication.lostRanges = 4
    options.replication.policy = .release
    change(&options)
    let harness = PairHarness(options)
    harness.isLossless = true
    return harness
  }
  private func flow(_ harness: PairHarness) -> UInt32 { harness.runs.keys.min()! }
  private func counters(_ harness: PairHarness) -> [UInt32] { harness.transmitted.map(\.counter) }

  @Test func whatThePrimaryLacksItGetsOfTheSecondary() {
    let harness = harness()
    harness.stamp(0)
    harness.stampLost(0, toPrimary: true)
    harness.stamp(0)
    for _ in 0..<4 { harness.pass() }
    #expect(counters(harness) == [1] && harness.primary.counters.repair.wanted == 0, "younger than a gapTimeout")
    harness.rounds(8)
    #expect(harness.primary.counters.repair.taken == 1 && harness.secondary.counters.repair.sent == 1)
    #expect(counters(harness) == [1, 2, 3] && harness.lost.isEmpty)
    harness.settle()
    #expect(harness.violation == nil)
  }

  /// R10: also of a packet that the NF has dropped. (NFs cannot write to frames, so no other byte can differ.)
  @Test(arguments: [false, true]) func whatTheSecondaryLacksItGetsAsAnOriginal(isDropped: Bool) {
    let harness = harness { $0.function.dropBelow = 1 }
    let word: UInt64 = isDropped ? 0x1234_5600 : 0x1234_56ff
    harness.stampLost(0, word: word, toSecondary: true)
    harness.stamp(0)
    harness.rounds(10)
    let message = harness.repairs.toSecondary.messages.last!.bytes
    let (image, sent) = message.withUnsafeBytes { bytes in
      let body = bytes.baseAddress! + ControlMessageHeader.byteCount
      return (PacketImage(reading: body), (body + PacketImage.byteCount).loadUnaligned(as: UInt64.self))
    }
    #expect(sent == word && image.counter == 1 && image.time == 1_000, "the very bytes that came, and their stamp")
    #expect(harness.secondary.counters.repair.taken == 1 && harness.lost.isEmpty)
    #expect(harness.primary.counters.droppedByFunction == (isDropped ? 1 : 0))
    harness.settle()
    #expect(harness.violation == nil && counters(harness) == (isDropped ? [2] : [1, 2]))
  }

  @Test func whatBothLackIsLostOnBothAlike() {
    let harness = harness()
    harness.stamp(0)
    harness.stampLost(0, toPrimary: true, toSecondary: true)
    harness.stamp(0)
    let start = harness.now
    while harness.lost.isEmpty, harness.now < start + 200_000 { harness.rounds(1) }
    // Once to be old, and once between two answers.
    #expect(harness.now >= start + 2 * harness.options.replication.gapTimeout)
    #expect(harness.secondary.counters.repair.missing == 2)
    #expect(harness.lost == [PacketName(flow(harness), 2)])
    harness.rounds(1)
    #expect(harness.losses.last == [PacketRange(flowID: flow(harness), from: 2, count: 1)], "named in the prepare")
    harness.settle()
    #expect(harness.violation == nil && counters(harness) == [1, 3])
    #expect(harness.secondary.counters.repair.lost == 1 && harness.primary.counters.repair.lost == 1)
  }

  /// Runs until the primary has declared counter 2 lost, and its prepare waits in the secondary's mailbox.
  private func declareLoss(_ harness: PairHarness) {
    harness.stamp(0)
    harness.stampLost(0, toPrimary: true, toSecondary: true)
    harness.stamp(0)
    while harness.lost.isEmpty, harness.violation == nil { harness.rounds(1) }
    harness.now += harness.options.replication.flushInterval
    harness.closeBatch(dry: true)
    while harness.sendToSecondary(commit: false) {}
  }
  private func bind(_ harness: PairHarness) {
    while harness.deliverMessageToSecondary() {}
    harness.vote()
  }

  /// R5: from the vote on no copy counts any more; a replica that took one would have another history.
  @Test func lateCopiesOfWhatIsBoundLostAreGivenBack() {
    let harness = harness()
    declareLoss(harness)
    bind(harness)
    #expect(harness.secondary.counters.repair.lost == 1)
    #expect(!harness.offerToPrimary(flow(harness), 2) && harness.primary.counters.duplicates == 1)
    #expect(!harness.offerToSecondary(flow(harness), 2) && harness.secondary.counters.repair.lateLost == 1)
  }

  /// The state clock that covers what is before the loss has come, or not.
  private func harness(withClock: Bool) -> PairHarness {
    harness {
      if !withClock { ($0.replication.stateClockPackets, $0.replication.stateClockInterval) = (64, 1_000_000_000) }
    }
  }

  @Test(arguments: [false, true]) func aTakeoverSkipsWhatVotesHaveBound(withClock: Bool) {
    let harness = harness(withClock: withClock)
    declareLoss(harness)
    bind(harness)
    #expect(harness.secondary.votedLostCount == 1)
    #expect(harness.takeOver(epoch: 4) == (withClock ? [3] : [1, 3]))
  }

  /// The copy came after the primary had declared it lost and before the vote: the vote decides.
  @Test(arguments: [false, true]) func aTakeoverSkipsACopyThatCameBeforeTheVote(withClock: Bool) {
    let harness = harness(withClock: withClock)
    declareLoss(harness)
    while harness.deliverMessageToSecondary() {}
    #expect(harness.offerToSecondary(flow(harness), 2), "not bound yet")
    harness.vote()
    #expect(harness.takeOver(epoch: 4) == (withClock ? [3] : [1, 3]))
  }

  /// R5: what an unvoted prepare declared lost never was.
  @Test(arguments: [false, true]) func unvotedLossesAreVoidAtTakeover(isPrepared: Bool) {
    let harness = harness(withClock: false)
    declareLoss(harness)
    if isPrepared { while harness.deliverMessageToSecondary() {} }
    #expect(harness.offerToSecondary(flow(harness), 2))
    harness.secondary.promise(epoch: 4)
    #expect(harness.secondary.votedLostCount == 0)
    #expect(harness.takeOver(epoch: 4) == [1, 2, 3])
  }

  /// R4: nothing comes after it, so no gap shows at the primary.
  @Test(arguments: [1, 3]) func theLastPacketOfAFlowIsReported(count: Int) {
    let harness = harness()
    for _ in 1..<count { harness.stamp(0) }
    harness.stampLost(0, toPrimary: true)
    harness.rounds(10)
    #expect(harness.primary.counters.repair.uncovered > 0 && harness.primary.counters.repair.taken == 1)
    #expect(harness.transmitted.count == count && harness.lost.isEmpty)
    harness.settle()
    #expect(harness.violation == nil)
  }

  /// R7: nobody to ask.
  @Test func aloneThePrimaryDeclaresLostByItself() {
    let harness = harness()
    harness.primary.secondaryFailed(epoch: 4)
    harness.isConnected = false
    harness.stamp(0)
    harness.stampLost(0, toPrimary: true)
    harness.stamp(0)
    for _ in 0..<8 {
      harness.now += 6_000
      harness.deliverToPrimary()
      harness.repairPrimary()
      harness.closeBatch(dry: true)
    }
    #expect(harness.primary.counters.repair.lost == 1 && harness.primary.counters.processed == 2)
    #expect(harness.primary.counters.repair.wanted == 0)
  }

  /// Nobody says "not held" of what may lie in its input buffer.
  @Test func whatMayBeInTheInputIsNotDenied() {
    let harness = harness { $0.replication.inputCapacity = 64 }
    harness.stamp(0)
    harness.pass()
    harness.stampLost(0, toPrimary: true)
    harness.stamp(0)
    // The secondary does not get its turn at its input.
    for _ in 0..<12 {
      harness.now += 6_000
      harness.deliverToPrimary()
      harness.repairPrimary()
      while harness.deliverMessageToSecondary() {}
      harness.repairSecondary()
      while harness.deliverMessageToPrimary() {}
    }
    #expect(harness.primary.counters.repair.wanted > 1 && harness.secondary.counters.repair.missing == 0)
    #expect(harness.lost.isEmpty)
    harness.settle()
    #expect(harness.violation == nil && harness.lost.isEmpty && counters(harness) == [1, 2, 3])
  }

  @Test func answersToOneQuestionCountOnce() {
    let harness = harness()
    harness.stamp(0)
    harness.stampLost(0, toPrimary: true, toSecondary: true)
    harness.stamp(0)
    while harness.primary.counters.repair.wanted == 0 {
      harness.now += 6_000
      harness.deliverToPrimary()
      harness.repairPrimary()
    }
    let missing = harness.ranges(.missing, [PacketRange(flowID: flow(harness), from: 2, count: 1)])
    for _ in 0..<5 { harness.tellPrimary(missing) }
    harness.now += 5_001
    harness.repairPrimary()
    #expect(harness.lost.isEmpty && harness.primary.counters.repair.missing == 5)
  }

  // MARK: bounds

  @Test func fullTablesAreCountedAndTriedAgain() {
    let harness = harness {
      $0.slots = 64
      $0.keys = 40
      $0.replication.pending = 64
      $0.replication.lostRanges = 1
      $0.repairLog = 1
    }
    for key in 0..<40 {
      harness.stampLost(key, toPrimary: true, toSecondary: key % 2 == 0)
      harness.stamp(key)
    }
    harness.settle()
    #expect(harness.violation == nil && harness.lost.count == 20)
    let repair = harness.primary.counters.repair
    #expect(repair.tableFull > 0 && repair.noRoom > 0)
  }

  @Test func fullLogsAreCountedAndTriedAgain() {
    let harness = harness {
      $0.repairLog = 1
      $0.replication.pending = 128
      $0.replication.pendingPerFlow = 128
      $0.replication.retained = 512
      $0.replication.held = 1_024
    }
    for _ in 0..<100 { harness.stampLost(0, toPrimary: true) }
    harness.stamp(0)
    harness.settle()
    let out = harness.transmitted.count
    #expect(harness.violation == nil && harness.lost.isEmpty && out == 101, "\(out), \(harness.primary.counters.repair)")
    #expect(harness.secondary.counters.repair.logFull > 0)
  }

  /// Packets behind a hole that the log has no room for are not tried again by themselves: the same ones would fill it each
  /// time.
  @Test func whatTheLogHasNoRoomForIsNotSentForEver() {
    let harness = harness {
      $0.repairLog = 1
      $0.replication.pending = 256
      $0.replication.pendingPerFlow = 128
      $0.replication.retained = 512
      $0.replication.held = 1_024
    }
    for key in 0..<2 {
      harness.stampLost(key, toSecondary: true)
      for _ in 0..<60 { harness.stamp(key) }
    }
    harness.deliverToSecondary()
    let wanted = harness.runs.keys.map { PacketRange(flowID: $0, from: 1, count: 61) }
    harness.tellSecondary(harness.ranges(.want, wanted))
    harness.repairSecondary()
    let sent = harness.secondary.counters.repair.sent
    #expect(sent > 0 && sent < 120 && harness.secondary.counters.repair.logFull > 0)
    for _ in 0..<40 {
      harness.now += harness.options.replication.gapTimeout / 16 + 1
      harness.repairSecondary()
    }
    #expect(harness.secondary.counters.repair.sent == sent)
  }

  @Test func emptyPoolIsCounted() {
    let harness = harness()
    harness.stamp(0)
    harness.pass()
    harness.tellPrimary(harness.image(flow(harness), 2))
    harness.tellSecondary(harness.image(flow(harness), 2))
    #expect(harness.primary.counters.repair.poolEmpty == 1 && harness.secondary.counters.repair.poolEmpty == 1)
    harness.settle()
    #expect(harness.violation == nil)
  }

  /// What waits for room in the output buffer is asked for again; its doubles would empty the pool, and the secondary could not
  /// get what it needs for the vote that makes the room.
  @Test func whatWaitsForRoomIsTakenOnce() {
    let harness = harness {
      $0.replication.pending = 1
      $0.replication.pendingPerFlow = 1
      $0.replication.retained = 8
      $0.replication.window = 8
    }
    for _ in 0..<12 {
      harness.stamp(0)
      harness.deliverToPrimary(1)
      harness.closeBatch(dry: true)
    }
    #expect(harness.primary.room == 0)
    harness.stampLost(1, toPrimary: true)
    let image = harness.image(harness.runs.keys.max()!, 1)
    let before = harness.bank.live
    for _ in 0..<20 { harness.tellPrimary(image, make: harness.makeForPrimary) }
    let taken = harness.bank.live - before
    #expect(taken > 0 && taken <= 2, "\(taken)")
    #expect(harness.primary.counters.repair.needless == 20 - UInt64(taken))
  }

  /// Off: nobody asks, reports or declares lost. Who is asked still answers.
  @Test func offItAsksForNothing() {
    let harness = harness { $0.replication.gapTimeout = 0 }
    #expect(harness.primary.nextRepair == .max && harness.secondary.nextRepair == .max)
    harness.stamp(0)
    harness.stampLost(0, toPrimary: true)
    harness.stamp(0)
    for _ in 0..<20 {
      harness.now += 1_000_000
      harness.pass()
      harness.repairPrimary()
      harness.repairSecondary()
    }
    #expect(harness.lost.isEmpty && harness.transmitted.count == 1)
    #expect(harness.primary.counters.repair.wanted == 0 && harness.secondary.counters.repair.uncovered == 0)
    harness.tellSecondary(harness.ranges(.want, [PacketRange(flowID: flow(harness), from: 2, count: 1)]))
    #expect(harness.secondary.nextRepair == 0)
    harness.repairSecondary()
    #expect(harness.kinds(harness.messagesToPrimary) == [.packet])
  }

  // MARK: what no correct peer sends

  @Test func implausibleRangesAreRefused() {
    let harness = harness()
    harness.stamp(0)
    harness.pass()
    let flow = flow(harness)
    let garbage = [
      PacketRange(flowID: 0, from: 1, count: 1), PacketRange(flowID: flow, from: 1, count: 0),
      PacketRange(flowID: flow, from: 1, count: 1 << 31),
    ]
    for (index, range) in garbage.enumerated() {
      harness.tellPrimary(harness.ranges(.want, [range]))
      harness.tellPrimary(harness.ranges(.missing, [range]))
      harness.tellSecondary(harness.ranges(.want, [range]))
      #expect(harness.primary.counters.impossibleMessages == UInt64(2 * index + 2), "\(range)")
      #expect(harness.secondary.counters.impossibleMessages == UInt64(index + 1), "\(range)")
    }
    #expect(harness.primary.repair.wanted.count == 0 && harness.secondary.repair.wanted.count == 0)
  }

  @Test func messagesTheWrongWayAreRefused() {
    let harness = harness()
    let range = PacketRange(flowID: 17, from: 1, count: 1)
    harness.tellSecondary(harness.ranges(.missing, [range]))
    harness.tellSecondary(harness.uncovered([ClockEntry(flowID: 17, next: 2)]))
    #expect(harness.secondary.counters.impossibleMessages == 2)
  }

  /// One check of the lengths makes every later read total.
  @Test(arguments: [ControlMessageHeader.Kind.want, .missing, .uncovered, .packet])
  func lengthsThatDisagreeAreDefects(kind: ControlMessageHeader.Kind) {
    let unit =
      switch kind {
      case .want, .missing: PacketRange.byteCount
      case .uncovered: ClockEntry.byteCount
      default: 1
      }
    let fixed = ControlMessageHeader.byteCount + (kind == .packet ? PacketImage.byteCount : 0)
    func header(_ count: UInt32, _ length: Int) -> ControlMessageHeader {
      ControlMessageHeader(kind: kind, pair: 1, epoch: 1, batch: 0, count: count, length: length)
    }
    #expect(header(8, fixed + 8 * unit).defect() == nil)
    #expect(header(8, fixed + 7 * unit).defect() == .length)
    #expect(header(8, fixed + 8 * unit + 8).defect() == .length)
    #expect(header(.max, fixed + 8 * unit).defect() == .length)
    #expect(header(8, ControlMessageHeader.byteCount).defect() == .length)
  }

  /// Packets of flows that do not exist, generations that are over, counters far off: none is taken.
  @Test func strangePacketsAreNotTaken() {
    let harness = harness()
    harness.stamp(0)
    harness.pass()
    let (flow, before) = (flow(harness), harness.bank.live)
    for counter in [UInt32(0), 1, 2_000_000_000] {
      harness.tellPrimary(harness.image(flow, counter), make: harness.makeForPrimary)
      harness.tellSecondary(harness.image(flow, counter), make: harness.makeForSecondary)
    }
    harness.tellPrimary(harness.image(0, 1), make: harness.makeForPrimary)
    harness.tellPrimary(harness.uncovered([ClockEntry(flowID: 0, next: 9), ClockEntry(flowID: flow, next: 1)]))
    harness.rounds(1)
    #expect(harness.primary.counters.repair.needless >= 3 && harness.secondary.counters.repair.needless >= 2)
    #expect(harness.primary.counters.outsideWindow + harness.secondary.counters.outsideWindow <= 2)
    harness.settle()
    #expect(harness.violation == nil && harness.bank.live <= before)
  }
}
