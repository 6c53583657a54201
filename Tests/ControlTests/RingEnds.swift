import DEFTMailbox

/// The ends of a ring as classes: the testing macros cannot look at values that must not be copied. (Nothing is
/// inlined: the optimiser of Swift 6.3.1 crashes in CopyPropagation otherwise.)
final class RingWriter {
  private var producer: MessageProducer
  init(_ ring: MessageRing, retaining: Bool) { producer = MessageProducer(ring, retaining: retaining) }

  var maximumMessage: Int { producer.maximumMessage }
  var refusals: UInt64 { producer.refusals }
  @inline(never) func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? { producer.reserve(byteCount) }
  @inline(never) func append(_ byteCount: Int) -> UInt64 { producer.append(byteCount) }
  @inline(never) func publish(through position: UInt64) { producer.publish(through: position) }
  @inline(never) func trim(through position: UInt64) { producer.trim(through: position) }
  @inline(never) func rewind() { producer.rewind() }
  @inline(never) func send(_ message: [UInt8]) -> Bool { message.withUnsafeBytes { producer.send($0) } }

  /// A message that is a length, four zeros and words that follow from `value`. nil while there is no room.
  @inline(never) func append(_ value: UInt64, byteCount: Int) -> UInt64? {
    guard let room = producer.reserve(byteCount) else { return nil }
    room.storeBytes(of: UInt32(byteCount), as: UInt32.self)
    (room + 4).storeBytes(of: 0, as: UInt32.self)
    for offset in stride(from: 8, to: byteCount, by: 8) {
      room.storeBytes(of: value &+ UInt64(offset), toByteOffset: offset, as: UInt64.self)
    }
    return producer.append(byteCount)
  }
}

final class RingReader {
  private var consumer: MessageConsumer
  init(_ ring: MessageRing) { consumer = MessageConsumer(ring) }

  var hasMore: Bool { consumer.hasMore }
  @inline(never) func next() -> UnsafeRawBufferPointer? { consumer.next() }
  @inline(never) func consume(_ message: UnsafeRawBufferPointer) { consumer.consume(message) }
  @inline(never) func takeRewind() -> Bool { consumer.takeRewind() }

  /// The `value` that a message of `RingWriter.append` was made from, or nil if it is damaged.
  static func value(of message: UnsafeRawBufferPointer) -> UInt64? {
    let value = message.load(fromByteOffset: 8, as: UInt64.self) &- 8
    for offset in stride(from: 8, to: message.count, by: 8) {
      guard message.load(fromByteOffset: offset, as: UInt64.self) == value &+ UInt64(offset) else { return nil }
    }
    return value
  }
}
