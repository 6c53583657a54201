import Synchronization

/// The reading end of a `MessageRing`. Owned by one thread.
public struct MessageConsumer: ~Copyable, @unchecked Sendable {
  @usableFromInline let ring: MessageRing
  @usableFromInline var cursor: UInt64 = 0

  public init(_ ring: MessageRing) { self.ring = ring }

  /// The next message, or nil if there is none now. It stays valid until `consume`.
  @inlinable
  public mutating func next() -> UnsafeRawBufferPointer? {
    let published = ring.published.pointee.load(ordering: .acquiring)
    while cursor < published {
      let place = Int(cursor & (ring.capacity - 1))
      let length = (ring.bytes + place).load(as: UInt32.self)
      if length == MessageRing.padWord {
        cursor += ring.capacity - UInt64(place)
        continue
      }
      return UnsafeRawBufferPointer(start: ring.bytes + place, count: Int(UInt32(littleEndian: length)))
    }
    return nil
  }

  /// Done with the message that `next` returned.
  @inlinable
  public mutating func consume(_ message: UnsafeRawBufferPointer) {
    cursor += UInt64(message.count)
    ring.cursor.pointee.store(cursor, ordering: .releasing)
  }

  /// True if there may be a message to read.
  @inlinable
  public var hasMore: Bool { ring.published.pointee.load(ordering: .sequentiallyConsistent) > cursor }

  /// R13: goes back to where the producer asked to, once per request. False if there is no request. After a connection
  /// was lost the owner sends nothing until this has returned true.
  public mutating func takeRewind() -> Bool {
    var request = ring.rewind.pointee.load(ordering: .sequentiallyConsistent)
    guard request != 0 else { return false }
    while true {
      cursor = request - 1
      ring.cursor.pointee.store(cursor, ordering: .sequentiallyConsistent)
      // The producer may have asked again meanwhile: clearing that request unseen would leave it waiting for ever.
      let (isTaken, latest) = ring.rewind.pointee.compareExchange(
        expected: request, desired: 0, ordering: .sequentiallyConsistent)
      if isTaken { return true }
      request = latest
    }
  }
}
