import DEFTWire

@testable import DEFTCore

// Gap repair by hand.
extension PairHarness {
  /// Loses the packet that was sent last.
  func drop(on way: ReferenceWritableKeyPath<PairHarness, HarnessPath>) {
    let packet = self[keyPath: way].dropLast()
    giveBack(packet, self[keyPath: way].references, "the way")
  }

  /// Stamps a packet that is lost on these ways.
  func stampLost(_ key: Int, word: UInt64 = 0xff, toPrimary isLost: Bool = false, toSecondary isCopyLost: Bool = false) {
    guard let (flowID, counter) = stamp(key, word: word) else { return fail("no place for the flow") }
    if isLost { drop(on: \.toPrimary) }
    if isCopyLost { drop(on: \.toSecondary) }
    if isLost, isCopyLost { destroyed.insert(PacketName(flowID, counter)) }
  }

  /// So many rounds of everything, each longer than half a `gapTimeout`: at least one scan in each.
  func rounds(_ count: Int) {
    for _ in 0..<count where violation == nil {
      now += options.replication.gapTimeout / 2 + 1
      pass()
    }
  }

  /// A `.want` or `.missing`.
  func ranges(_ kind: ControlMessageHeader.Kind, _ ranges: [PacketRange]) -> [UInt8] {
    let length = ControlMessageHeader.byteCount + ranges.count * PacketRange.byteCount
    return message(kind, count: ranges.count, length: length) { body in
      for (index, range) in ranges.enumerated() { range.write(to: body + index * PacketRange.byteCount) }
    }
  }

  /// A `.packet` of 16 bytes.
  func image(_ flowID: UInt32, _ counter: UInt32, word: UInt64 = 0xff) -> [UInt8] {
    message(.packet, count: 16, length: PacketImage.messageLength(frameLength: 16)) { body in
      PacketImage(time: 5, flowID: flowID, counter: counter, layout: .opaque).write(to: body)
      (body + PacketImage.byteCount).storeBytes(of: word, as: UInt64.self)
      (body + PacketImage.byteCount + 8).storeBytes(of: 0, as: UInt64.self)
    }
  }

  func uncovered(_ entries: [ClockEntry]) -> [UInt8] {
    let length = ControlMessageHeader.byteCount + entries.count * ClockEntry.byteCount
    return message(.uncovered, count: entries.count, length: length) { body in
      for (index, entry) in entries.enumerated() { entry.write(to: body + index * ClockEntry.byteCount) }
    }
  }

  private func message(
    _ kind: ControlMessageHeader.Kind, count: Int, length: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) -> [UInt8] {
    let configuration = options.replication
    var bytes = [UInt8](repeating: 0, count: length)
    bytes.withUnsafeMutableBytes { buffer in
      ControlMessageHeader(
        kind: kind, pair: configuration.pair, epoch: configuration.epoch, batch: 0, count: UInt32(count), length: length
      ).write(to: buffer.baseAddress!)
      fill(buffer.baseAddress! + ControlMessageHeader.byteCount)
    }
    return bytes
  }

  func tellPrimary(_ bytes: [UInt8], make: PacketMaker = { _, _, _ in nil }) {
    bytes.withUnsafeBytes { _ = primary.receive($0, make: make) }
  }
  func tellSecondary(_ bytes: [UInt8], make: PacketMaker = { _, _, _ in nil }) {
    bytes.withUnsafeBytes { secondary.receive($0, make: make) }
  }

  /// What the last messages of gap repair on their way to a replica are.
  func kinds(_ messages: [[UInt8]]) -> [ControlMessageHeader.Kind] {
    messages.compactMap { ControlMessageHeader.Kind(rawValue: clock($0).header.kind) }
  }

  /// The secondary takes over; the primary is gone with all that it had. Returns what the successor releases under
  /// `release`, in order; its packets leak.
  func takeOver(epoch: UInt32) -> [UInt32] {
    var heir = Secondary(
      initialState: ScriptedFunction.initialState, configuration: options.replication, layout: layout,
      memory: arena.allocate)
    swap(&heir, &secondary)
    heir.forEachHeld { bank.addReference($0) }
    primary = Primary(
      takingOver: heir, epoch: epoch, function: options.function, prepares: BookLog(book: prepares),
      commits: BookLog(book: commits), closeCapacity: options.slots, memory: arena.allocate)
    var counters: [UInt32] = []
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: 64)
    for _ in 0..<8 {
      _ = primary.replay(unwanted: &packets, capacity: 64, now: now)
      _ = primary.closeBatchIfDue(inputIsDry: true, now: now)
      let count = primary.release(into: &packets, capacity: 64)
      counters += packets[..<count].map(\.pointee.counter)
      now += options.replication.flushInterval
    }
    return counters
  }
}
