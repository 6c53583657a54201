import DEFTWire

/// What a call of a replica's `repairGaps` leaves to its caller.
public struct RepairOutcome: Sendable, Equatable {
  /// The log has something to send.
  public var hasMail = false
  /// Packets in `unwanted`: brought by repair, and not needed after all.
  public var unwanted = 0
}

/// Writes the messages of gap repair. The log is one that keeps nothing: what is lost with a connection, or finds no room,
/// is asked for again at a later scan.
struct RepairMessages {
  let pair: UInt16
  let epoch: UInt32
  /// The question that is asked or answered (`RepairPacing`).
  var question: UInt64 = 0

  /// `.want` or `.missing`. False: no room.
  func send<Log: MessageLog & ~Copyable>(
    _ kind: ControlMessageHeader.Kind, _ ranges: borrowing RangeList, into log: inout Log
  ) -> Bool {
    send(kind, ranges, count: ranges.count, into: &log)
  }

  /// As many of the first ranges as there is room for, halved until they fit. False: not even for one.
  func sendFirst<Log: MessageLog & ~Copyable>(
    _ kind: ControlMessageHeader.Kind, _ ranges: borrowing RangeList, into log: inout Log
  ) -> Bool {
    var count = ranges.count
    while count > 0 {
      if send(kind, ranges, count: count, into: &log) { return true }
      count /= 2
    }
    return false
  }

  private func send<Log: MessageLog & ~Copyable>(
    _ kind: ControlMessageHeader.Kind, _ ranges: borrowing RangeList, count: Int, into log: inout Log
  ) -> Bool {
    let length = ControlMessageHeader.byteCount + count * PacketRange.byteCount
    guard let message = log.reserve(length) else { return false }
    write(kind, count: count, length: length, to: message)
    for index in 0..<count {
      ranges[index].write(to: message + ControlMessageHeader.byteCount + index * PacketRange.byteCount)
    }
    log.publish(through: log.append(length))
    return true
  }

  /// Not longer than a message of gap repair may be.
  func mayCarry<Storage: PacketStorage>(_ packet: Packet, in storage: Storage.Type) -> Bool {
    PacketImage.messageLength(frameLength: storage.view(of: packet).length) <= ReplicationConfiguration.longestRepair
  }

  /// `.packet`: an original, from behind its stamp. False: no room.
  func send<Storage: PacketStorage, Log: MessageLog & ~Copyable>(
    _ packet: Packet, in storage: Storage.Type, into log: inout Log
  ) -> Bool {
    let frameLength = storage.view(of: packet).length
    let length = PacketImage.messageLength(frameLength: frameLength)
    guard length <= ReplicationConfiguration.longestRepair, let message = log.reserve(length) else { return false }
    write(.packet, count: frameLength, length: length, to: message)
    let image = message + ControlMessageHeader.byteCount
    PacketImage(
      time: packet.pointee.time, flowID: packet.pointee.flowID, counter: packet.pointee.counter,
      layout: packet.pointee.layout
    ).write(to: image)
    // No byte of an earlier message goes out as padding.
    if frameLength % 8 != 0 { (message + length - 8).storeBytes(of: 0, as: UInt64.self) }
    storage.copyFrame(of: packet, to: image + PacketImage.byteCount)
    log.publish(through: log.append(length))
    return true
  }

  func write(_ kind: ControlMessageHeader.Kind, count: Int, length: Int, to message: UnsafeMutableRawPointer) {
    ControlMessageHeader(kind: kind, pair: pair, epoch: epoch, batch: question, count: UInt32(count), length: length)
      .write(to: message)
  }
}

/// A range that a correct peer can have sent.
extension PacketRange {
  var isPlausible: Bool { flowID != 0 && count != 0 && count < UInt32(counterWindow) }
}

extension ReplicationConfiguration {
  func messages(_ question: UInt64) -> RepairMessages { RepairMessages(pair: pair, epoch: epoch, question: question) }
  /// Packets brought by repair that wait for room, at most; `unwanted` of `repairGaps` has room for so many.
  public static var repairBurst: Int { 1024 }
  /// Bytes of the longest message of gap repair: what a mailbox ring of 64 KiB takes. A longer frame cannot be repaired.
  public static var longestRepair: Int { 1 << 15 }
  /// Ranges in one `.want` or `.missing`, at most, and of those for one flow.
  static var repairRanges: Int { 256 }
  static var repairRangesPerFlow: Int { 32 }
  /// Packets sent of one range in one answer, at most.
  static var repairPerRange: Int { 64 }
}
