import DEFTMailbox
import DEFTWire
import NIOCore

/// The buffer in which the control thread gathers messages for one write. NIO writes to the socket at once when it can,
/// so the same memory is nearly always free again for the next write; `begin` takes new memory when it is not.
struct OutboundBatch {
  /// One write carries so much, or one longer message, bytes. Fits into a core's second-level cache.
  static let capacity = 256 << 10

  private(set) var buffer: ByteBuffer

  init(_ allocator: ByteBufferAllocator) { buffer = allocator.buffer(capacity: OutboundBatch.capacity) }

  var isEmpty: Bool { buffer.readableBytes == 0 }

  mutating func begin() { buffer.clear(minimumCapacity: OutboundBatch.capacity) }

  /// Moves as many whole messages as fit. `note` sees each of them.
  mutating func fill(
    from ring: inout MessageConsumer, counters: ControlCounters, note: (UnsafeRawBufferPointer) -> Void = { _ in }
  ) {
    guard var message = ring.next() else { return }
    if isEmpty, message.count > OutboundBatch.capacity { buffer.reserveCapacity(message.count) }
    let limit = max(OutboundBatch.capacity, isEmpty ? message.count : 0) - buffer.readableBytes
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 0) { room in
      var used = 0
      while used + message.count <= min(limit, room.count) {
        let header = message.baseAddress.unsafelyUnwrapped
        assert(ControlMessageHeader(reading: header).defect() == nil, "the lcore wrote a malformed message")
        room.baseAddress.unsafelyUnwrapped.advanced(by: used).copyMemory(from: header, byteCount: message.count)
        used += message.count
        counters.sent(header.byte(4), byteCount: message.count)
        note(message)
        ring.consume(message)
        guard let next = ring.next() else { break }
        message = next
      }
      return used
    }
  }
}
