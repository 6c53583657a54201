import DEFTCore
import DEFTWire

/// What a replica has written for its peer, as the control thread reads it. Messages stay where they are for the whole run.
/// Capacity: `capacity` bytes not yet trimmed or not yet read.
final class SimulatedLog {
  struct Message {
    var bytes: UnsafeRawBufferPointer
    var start: UInt64
    var end: UInt64
  }
  let capacity: Int
  private let arena: SimulationArena
  private(set) var messages: [Message] = []
  /// Messages that a checker has seen.
  var seen = 0
  fileprivate var reserved: UnsafeMutableRawPointer?
  fileprivate(set) var published: UInt64 = 0
  fileprivate(set) var trimmed: UInt64 = 0
  private var nextIndex = 0
  /// R13: the replica wants the log to be sent again.
  private var isRewindWanted = false
  private(set) var rewinds = 0

  /// Whether messages stay until they are trimmed; otherwise what has been read is gone (gap repair asks again).
  let isRetaining: Bool

  init(capacity: Int, isRetaining: Bool = true, _ arena: SimulationArena) {
    self.capacity = capacity
    self.isRetaining = isRetaining
    self.arena = arena
  }

  var tail: UInt64 { messages.last?.end ?? 0 }
  private var cursor: UInt64 { nextIndex < messages.count ? messages[nextIndex].start : tail }
  var used: Int { Int(tail - min(trimmed, cursor)) }
  /// Nothing is left to be read or trimmed.
  var isDrained: Bool { trimmed == tail && cursor == tail }
  var hasMore: Bool { nextIndex < messages.count && messages[nextIndex].end <= published }

  fileprivate func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    precondition(byteCount % 8 == 0 && byteCount > 0, "messages are multiples of 8 bytes")
    precondition(byteCount <= capacity || !isRetaining, "a message longer than its log")
    guard used + byteCount <= capacity else { return nil }
    let room = arena.allocate(byteCount, alignment: 8)
    // Old bytes, as in a ring: what the replica does not write would show.
    room.initializeMemory(as: UInt8.self, repeating: 0xa5, count: byteCount)
    reserved = room
    return room
  }

  fileprivate func append(_ byteCount: Int) -> UInt64 {
    messages.append(
      Message(
        bytes: UnsafeRawBufferPointer(start: reserved, count: byteCount), start: tail, end: tail + UInt64(byteCount)))
    return tail
  }

  fileprivate func wantRewind() { isRewindWanted = true }

  /// Goes back to the trim position if the replica asked for it.
  func takeRewind() -> Bool {
    guard isRewindWanted else { return false }
    isRewindWanted = false
    rewinds += 1
    nextIndex = messages.count
    while nextIndex > 0, messages[nextIndex - 1].end > trimmed { nextIndex -= 1 }
    return true
  }

  var text: String {
    "\(messages.count) messages, \(used) of \(capacity) bytes used, read to \(cursor), trimmed to \(trimmed) of \(tail)"
  }

  /// The next published message, in order.
  func read() -> UnsafeRawBufferPointer? {
    guard hasMore else { return nil }
    nextIndex += 1
    if !isRetaining { trimmed = messages[nextIndex - 1].end }
    return messages[nextIndex - 1].bytes
  }
}

/// The replica's end.
struct SimulatedLogEnd: ~Copyable, MessageLog {
  let log: SimulatedLog
  mutating func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer? { log.reserve(byteCount) }
  mutating func append(_ byteCount: Int) -> UInt64 { log.append(byteCount) }
  mutating func publish(through position: UInt64) { log.published = max(log.published, position) }
  mutating func trim(through position: UInt64) { log.trimmed = max(log.trimmed, position) }
  mutating func rewind() { log.wantRewind() }
}
