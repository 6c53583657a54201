import Synchronization

/// A single-producer single-consumer ring of length-prefixed messages between an lcore and a control thread: the only
/// thing that the two share besides a doorbell. Messages lie in the ring exactly as they go over the wire, so neither
/// side encodes twice.
///
/// Positions are byte counts that only grow; `position & mask` is the place in memory. A message never wraps: where it
/// would, the rest of the ring is skipped by a pad word (length 0xFFFF_FFFF).
///
/// Capacity: fixed at creation, a power of two. Full: `MessageProducer.reserve` returns nil and the producer waits.
public struct MessageRing: @unchecked Sendable {
  /// Producer's and consumer's words, each on its own pair of cache lines.
  @usableFromInline let words: UnsafeMutableRawPointer
  @usableFromInline let bytes: UnsafeMutableRawPointer
  @usableFromInline let capacity: UInt64
  @usableFromInline static let padWord: UInt32 = 0xffff_ffff
  @usableFromInline static let lineBytes = 128

  /// - Parameter capacity: bytes; rounded up to a power of two, at least 4 KiB.
  public init(capacity requested: Int) {
    var size = 4096
    while size < requested { size *= 2 }
    capacity = UInt64(size)
    bytes = .allocate(byteCount: size, alignment: 4096)
    words = .allocate(byteCount: 4 * MessageRing.lineBytes, alignment: MessageRing.lineBytes)
    for index in 0..<4 {
      (words + index * MessageRing.lineBytes).bindMemory(to: Atomic<UInt64>.self, capacity: 1).initialize(to: Atomic(0))
    }
  }

  /// Frees the memory; both ends must be gone.
  public func deallocate() {
    bytes.deallocate()
    words.deallocate()
  }

  @inlinable @inline(__always)
  func word(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (words + index * MessageRing.lineBytes).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
  /// Position behind the last published message; written by the producer.
  @inlinable @inline(__always)
  var published: UnsafeMutablePointer<Atomic<UInt64>> { word(0) }
  /// Position up to which the consumer has read; written by the consumer.
  @inlinable @inline(__always)
  var cursor: UnsafeMutablePointer<Atomic<UInt64>> { word(1) }
  /// 1 + the position to which the consumer shall go back, or 0. Set by the producer, cleared by the consumer.
  @inlinable @inline(__always)
  var rewind: UnsafeMutablePointer<Atomic<UInt64>> { word(2) }
}
