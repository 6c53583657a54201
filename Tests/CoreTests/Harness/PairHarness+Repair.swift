import DEFTWire

@testable import DEFTCore

/// A packet by its stamp.
struct PacketName: Hashable {
  var flowID: UInt32
  var counter: UInt32
  init(_ flowID: UInt32, _ counter: UInt32) { (self.flowID, self.counter) = (flowID, counter) }
  init(_ metadata: PacketMetadata) { self.init(metadata.flowID, metadata.counter) }
}

// Gap repair.
extension PairHarness {
  var isRepairing: Bool { options.replication.gapTimeout > 0 }
  /// Grows while repair gets on.
  var repairProgress: Int {
    let (first, second) = (primary.counters.repair, secondary.counters.repair)
    return Int(first.taken + first.lost + second.taken + second.lost)
  }

  func makeForPrimary(_ metadata: PacketMetadata, _ frame: UnsafeRawBufferPointer, _ references: Int) -> Packet? {
    let packet = make(metadata, frame, references, expecting: toPrimary.references)
    if let packet { repairedForPrimary.append(packet) }
    return packet
  }
  func makeForSecondary(_ metadata: PacketMetadata, _ frame: UnsafeRawBufferPointer, _ references: Int) -> Packet? {
    let packet = make(metadata, frame, references, expecting: 1)
    if let packet { repairedForSecondary.append(packet) }
    return packet
  }
  /// The pool is empty now and then.
  private func make(
    _ metadata: PacketMetadata, _ frame: UnsafeRawBufferPointer, _ references: Int, expecting: Int
  ) -> Packet? {
    require(references == expecting && frame.count == 16, "a repaired packet of another kind")
    guard isLossless || !random.oneIn(8) else { return nil }
    let content = (frame.loadUnaligned(as: UInt64.self), frame.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    return bank.make(metadata, content: content, references: references)
  }

  func repairPrimary() {
    let configuration = options.replication
    guard now >= primary.nextRepair else { return }
    let isDry = toPrimary.ready == 0
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: ReplicationConfiguration.repairBurst)
    var log = BookLog(book: repairs.toSecondary)
    let declaredBefore = primary.repair.lostCount
    let outcome = primary.repairGaps(now: now, inputIsDry: isDry, into: &log, unwanted: &unwanted)
    let done = repairedForPrimary.count - primary.repair.repairedCount
    let refused = Set(unwanted[..<outcome.unwanted])
    for packet in repairedForPrimary[..<done] where !refused.contains(packet) { acceptedByPrimary(packet) }
    for packet in repairedForPrimary[..<done] where refused.contains(packet) {
      giveBack(packet, toPrimary.references, "the primary's repair")
    }
    repairedForPrimary.removeFirst(done)
    for index in declaredBefore..<primary.repair.lostCount { declaredLost(primary.repair.declared(index)) }
    require(configuration.isReplicated || !outcome.hasMail, "there is nobody to ask")
    checkPositions()
    sendRepairs()
  }

  private func declaredLost(_ range: PacketRange) {
    declared.append(range)
    touched.insert(range.flowID)
    withRun(range.flowID) { run in
      let before = run.atPrimary.next
      require(before == range.from, "flow \(range.flowID) loses \(range) while it waits for \(before)")
      for offset in 0..<range.count {
        let counter = range.from &+ offset
        require(counter.isSeriallyBefore(run.next), "(\(range.flowID), \(counter)) is lost and was never stamped")
        require(run.atPrimary.insert(counter), "(\(range.flowID), \(counter)) is lost and was here")
        lost.insert(PacketName(range.flowID, counter))
        run.lose(counter, options.function)
      }
      processed += Int(run.atPrimary.next &- before) - Int(range.count)
    }
  }

  func repairSecondary() {
    guard options.replication.isReplicated, now >= secondary.nextRepair else { return }
    let isDry = toSecondary.ready == 0 || secondary.room == 0
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: ReplicationConfiguration.repairBurst)
    var log = BookLog(book: repairs.toPrimary)
    let outcome = secondary.repairGaps(now: now, inputIsDry: isDry, into: &log, unwanted: &unwanted)
    let done = repairedForSecondary.count - secondary.repair.repairedCount
    let refused = Set(unwanted[..<outcome.unwanted])
    for packet in repairedForSecondary[..<done] {
      guard !refused.contains(packet) else {
        giveBack(packet, 1, "the secondary's repair")
        continue
      }
      heldBySecondary(packet)
    }
    repairedForSecondary.removeFirst(done)
    sendRepairs()
  }

  /// Repair's messages go onto the wire, or nowhere if there is no connection.
  private func sendRepairs() {
    while let bytes = repairs.toSecondary.read() {
      require(clock(bytes).header.defect() == nil, "a malformed message: \(clock(bytes).header)")
      if isConnected { messagesToSecondary.append(bytes) }
    }
    while let bytes = repairs.toPrimary.read() {
      require(clock(bytes).header.defect() == nil, "a malformed message: \(clock(bytes).header)")
      if isConnected { messagesToPrimary.append(bytes) }
    }
  }

  /// Flows whose last packets neither replica has ever taken: nobody can know of them.
  private var hiddenTails: [SequentialRun] {
    guard isRepairing else { return [] }
    return runs.values.filter { $0.atPrimary.next != $0.next }.sorted { $0.flowID < $1.flowID }
  }
  /// The first flows that do not come to their end.
  var stuckFlows: String {
    let stuck = runs.values.filter { !$0.isComplete }.sorted { $0.flowID < $1.flowID }.prefix(2)
    let wait = secondary.waiting[Int(secondary.waitingHead & secondary.waitingMask)]
    let awaited = secondary.flows.entry(wait.flowID).pointee
    let watched = secondary.repair.gaps.find(wait.flowID)?.pointee
    let waits =
      "; secondary prepared \(secondary.preparedBatch), voted \(secondary.votedBatch), waits for "
      + "\(secondary.waitingTail - secondary.waitingHead): \(wait), there: flow \(awaited.flowID), \(awaited.next), "
      + "\(String(describing: watched)), lost \((0..<secondary.lost.count).map { secondary.lost[$0] })"
    return waits
      + stuck.map { run in
        let gap = primary.repair.gaps.find(run.flowID)?.pointee
        let (first, second) = (primary.flows.entry(run.flowID).pointee, secondary.flows.entry(run.flowID).pointee)
        let stages = [run.next, run.atPrimary.next, first.next, run.atSecondary.next, second.next, run.appliedNext]
        return "; flow \(run.flowID): stamped, primary, secondary, applied \(stages), \(String(describing: gap)), "
          + "\(primary.counters.repair) \(secondary.counters.repair)"
      }.joined()
  }
  var hasNoHiddenTail: Bool { hiddenTails.isEmpty }

  /// Sends another packet of every flow that may have lost its last one on both ways, or its close marker again.
  func revealTails() {
    for run in hiddenTails {
      if run.point(before: run.next)?.isClosed == true {
        var layout = FrameLayout.opaque
        layout.isCloseMarker = true
        let metadata = PacketMetadata(
          time: run.lastStampTime, flowID: run.flowID, counter: run.next &- 1, layout: layout)
        let packet = bank.make(metadata, content: (0, 0), references: toPrimary.references)
        toPrimary.send(packet, &random)
        destroyed.remove(PacketName(metadata))
      } else if let key = keys[run.flowID] {
        stamp(key)
      }
    }
  }
}

extension PairHarness {
  /// What a prepare declares lost.
  func lostRanges(_ bytes: [UInt8]) -> [PacketRange] {
    let header = clock(bytes).header
    return bytes.withUnsafeBytes { buffer in
      (0..<Int(header.detail)).map {
        let place = ControlMessageHeader.byteCount + Int(header.count) * ClockEntry.byteCount
        return PacketRange(reading: buffer.baseAddress! + place + $0 * PacketRange.byteCount)
      }
    }
  }
}
