/// What fills the payloads: readable text that repeats every 64 bytes, so that the byte at each position of a TCP stream
/// or a datagram is known without keeping any, and fragments fit together.
final class PayloadPattern {
  static let period = 64
  static let text: StaticString = "DEFT sample payload: stateful flows survive crashes and moves. \n"
  /// The longest datagram and one period.
  static let length = 8192

  let bytes: UnsafeMutableRawPointer

  init() {
    precondition(Self.text.utf8CodeUnitCount == Self.period)
    bytes = .allocate(byteCount: Self.length, alignment: 64)
    for offset in stride(from: 0, to: Self.length, by: Self.period) {
      (bytes + offset).copyMemory(from: Self.text.utf8Start, byteCount: Self.period)
    }
  }

  deinit { bytes.deallocate() }

  /// The pattern from stream position `position` on; `count` bytes may be read.
  func from(_ position: Int, count: Int) -> UnsafeRawPointer {
    let start = position & (Self.period - 1)
    precondition(start + count <= Self.length)
    return UnsafeRawPointer(bytes + start)
  }
}
