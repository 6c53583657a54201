import DEFTMailbox
import DEFTWire
import Glibc
import Logging
import Testing

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// SplitMix64: the same numbers on every run.
struct Random {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// Nanoseconds of the monotonic clock.
func monotonic() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Calls `work` until `done` holds. False (and a recorded issue) if it has not after `seconds`.
@discardableResult
func eventually(
  _ what: Comment, within seconds: Double = 20, sourceLocation: SourceLocation = #_sourceLocation,
  working work: () -> Void = {}, _ done: () -> Bool
) -> Bool {
  let end = monotonic() + UInt64(seconds * 1e9)
  while monotonic() < end {
    work()
    if done() { return true }
    usleep(20)
  }
  Issue.record("not within \(seconds) s: \(what)", sourceLocation: sourceLocation)
  return false
}

/// The message that is batch `batch` of its kind: everything in it follows from the batch and the sizes, so that the
/// receiver can tell whether it got that and nothing else.
enum TestMessage {
  static let stateEntrySize: UInt32 = 24
  static let longestEntries = 64

  static func length(_ kind: ControlMessageHeader.Kind, entries: Int) -> Int {
    ControlMessageHeader.byteCount + entries * (kind == .commit ? Int(stateEntrySize) : kind == .prepare ? 8 : 8)
  }

  static func write(
    _ kind: ControlMessageHeader.Kind, pair: UInt16, batch: UInt64, entries: Int, to bytes: UnsafeMutableRawPointer
  ) {
    let length = length(kind, entries: entries)
    let detail = kind == .commit ? stateEntrySize : 0
    ControlMessageHeader(
      kind: kind, pair: pair, epoch: 1, batch: batch, count: UInt32(entries), detail: detail, length: length
    ).write(to: bytes)
    var word = batch &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(kind.rawValue)
    for offset in stride(from: ControlMessageHeader.byteCount, to: length, by: 8) {
      bytes.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
      word = word &+ 0x0101_0101
    }
  }

  static func isIntact(_ message: UnsafeRawBufferPointer) -> Bool {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    guard header.defect() == nil, header.length == message.count else { return false }
    var word = header.batch &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(header.kind)
    for offset in stride(from: ControlMessageHeader.byteCount, to: message.count, by: 8) {
      guard message.load(fromByteOffset: offset, as: UInt64.self) == word else { return false }
      word = word &+ 0x0101_0101
    }
    return true
  }

  static func bytes(_ kind: ControlMessageHeader.Kind, pair: UInt16, batch: UInt64, entries: Int) -> [UInt8] {
    let length = length(kind, entries: entries)
    return withUnsafeTemporaryAllocation(byteCount: length, alignment: 8) { room in
      write(kind, pair: pair, batch: batch, entries: entries, to: room.baseAddress!)
      return Array(room)
    }
  }
}
