import DEFTCore
import Synchronization

/// The writing end of a `MessageRing`. Owned by one thread.
public struct MessageProducer: ~Copyable, MessageLog, @unchecked Sendable {
  @usableFromInline let ring: MessageRing
  /// Position behind the last appended message, published or not.
  @usableFromInline var tail: UInt64 = 0
  @usableFromInline var trimPosition: UInt64
  /// The consumer's cursor as last seen; re-read only when the ring looks full.
  @usableFromInline var cursorSeen: UInt64 = 0
  /// Calls that found no room.
  public private(set) var refusals: UInt64 = 0
  @usableFromInline var reservedPad: UInt64 = 0

  /// - Parameter retaining: keep messages until `trim`; otherwise what the consumer has read is free at once.
  public init(_ ring: MessageRing, retaining: Bool) {
    self.ring = ring
    trimPosition = retaining ? 0 : .max
  }

  @usableFromInline var reusableBefore: UInt64 { min(trimPosition, cursorSeen) }

  /// Longest message that the ring can ever take, bytes.
  public var maximumMessage: Int { Int(ring.capacity / 2) }

  @inlinable
  public mutating func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    precondition(byteCount % 8 == 0 && byteCount > 0)
    let place = tail & (ring.capacity - 1)
    let toEnd = ring.capacity - place
    let needed = UInt64(byteCount)
    let pad = toEnd < needed ? toEnd : 0
    if tail + pad + needed > reusableBefore + ring.capacity {
      refreshCursor()
      if tail + pad + needed > reusableBefore + ring.capacity {
        countRefusal()
        return nil
      }
    }
    if pad > 0 { (ring.bytes + Int(place)).storeBytes(of: MessageRing.padWord, as: UInt32.self) }
    reservedPad = pad
    return ring.bytes + Int((tail + pad) & (ring.capacity - 1))
  }

  @usableFromInline mutating func countRefusal() { refusals &+= 1 }

  @inlinable
  public mutating func append(_ byteCount: Int) -> UInt64 {
    tail += reservedPad + UInt64(byteCount)
    reservedPad = 0
    return tail
  }

  @inlinable
  public mutating func publish(through position: UInt64) {
    ring.published.pointee.store(position, ordering: .releasing)
  }

  @inlinable
  public mutating func trim(through position: UInt64) {
    trimPosition = max(trimPosition, position)
  }

  /// R13: has the consumer go back to the first message that was not trimmed. Until it has, and afterwards until it has
  /// read on, nothing from there on is overwritten. Only for a retaining producer.
  public mutating func rewind() {
    precondition(trimPosition != .max, "only a retained log can be sent again")
    // The consumer may still be behind the trim position, reading what an earlier rewind sent it back to: that must not
    // be overwritten either before it has taken this request.
    refreshCursor()
    cursorSeen = min(cursorSeen, trimPosition)
    ring.rewind.pointee.store(trimPosition + 1, ordering: .sequentiallyConsistent)
  }

  @inlinable
  mutating func refreshCursor() {
    // While a rewind is pending the published cursor is one that the consumer is about to leave.
    if ring.rewind.pointee.load(ordering: .sequentiallyConsistent) == 0 {
      cursorSeen = ring.cursor.pointee.load(ordering: .acquiring)
    }
  }

  /// Copies one whole message in and publishes it; false if there is no room now.
  public mutating func send(_ message: UnsafeRawBufferPointer) -> Bool {
    guard let room = reserve(message.count) else { return false }
    room.copyMemory(from: message.baseAddress.unsafelyUnwrapped, byteCount: message.count)
    publish(through: append(message.count))
    return true
  }
}
