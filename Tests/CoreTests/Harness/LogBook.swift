import DEFTCore

/// What a `BookLog` has written, as the control thread sees it. Capacity: `capacity` bytes not yet trimmed or not yet read.
final class LogBook {
  struct Message {
    var bytes: [UInt8]
    var start: UInt64
    var end: UInt64
  }
  let capacity: Int
  /// Everything ever appended.
  private(set) var messages: [Message] = []
  fileprivate(set) var published: UInt64 = 0
  fileprivate(set) var trimmed: UInt64 = 0
  private var nextIndex = 0
  /// R13: after a connection was lost nothing is read until the writer has rewound.
  var isOpen = true
  private(set) var rewinds = 0
  /// Times that there was no room.
  fileprivate(set) var refusals = 0
  private let room: UnsafeMutableRawPointer

  /// - Parameter isRetaining: messages are kept until trimmed; otherwise what was read is free.
  init(capacity: Int, isRetaining: Bool = true) {
    self.capacity = capacity
    if !isRetaining { trimmed = .max }
    room = .allocate(byteCount: capacity, alignment: 8)
  }
  deinit { room.deallocate() }

  private var tail: UInt64 { messages.last?.end ?? 0 }
  private var cursor: UInt64 { nextIndex < messages.count ? messages[nextIndex].start : tail }
  /// Nothing is left to be read or trimmed.
  var isDrained: Bool { (trimmed == tail || trimmed == .max) && cursor == tail }

  fileprivate func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    precondition(byteCount % 8 == 0 && byteCount > 0)
    guard Int(tail - min(trimmed, cursor)) + byteCount <= capacity else {
      refusals += 1
      return nil
    }
    // Old bytes, as in a ring: what the replica does not write would show.
    room.initializeMemory(as: UInt8.self, repeating: 0xa5, count: byteCount)
    return room
  }

  fileprivate func append(_ byteCount: Int) -> UInt64 {
    let bytes = [UInt8](UnsafeRawBufferPointer(start: room, count: byteCount))
    messages.append(Message(bytes: bytes, start: tail, end: tail + UInt64(byteCount)))
    return tail
  }

  fileprivate func rewind() {
    rewinds += 1
    nextIndex = messages.firstIndex { $0.end > trimmed } ?? messages.count
    isOpen = true
  }

  /// The next published message, in order.
  func read() -> [UInt8]? {
    guard isOpen, nextIndex < messages.count, messages[nextIndex].end <= published else { return nil }
    nextIndex += 1
    return messages[nextIndex - 1].bytes
  }
}

/// The replica's end.
struct BookLog: ~Copyable, MessageLog {
  let book: LogBook
  mutating func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? { book.reserve(byteCount) }
  mutating func append(_ byteCount: Int) -> UInt64 { book.append(byteCount) }
  mutating func publish(through position: UInt64) { book.published = max(book.published, position) }
  mutating func trim(through position: UInt64) { book.trimmed = max(book.trimmed, position) }
  mutating func rewind() { book.rewind() }
}
