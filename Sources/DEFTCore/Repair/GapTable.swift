import DEFTWire

/// The gaps that a replica watches, one per flow: what it waits for, since when, and what the other replica has said. Gaps
/// cost nothing per packet, because they are found by scans at an interval: an entry is one gap, the same (flow, next), as
/// long as each scan finds it again; one that a scan does not find is gone (B3).
///
/// Capacity: fixed, in sets of 8 by flow. Full: `track` says nil, the caller counts it, and the next scan tries again.
struct GapTable: ~Copyable {
  struct Gap: BitwiseCopyable {
    var flowID: UInt32
    /// The first counter that is missing.
    var next: UInt32
    /// What is here, or is known to exist, begins there.
    var upTo: UInt32
    /// Behind the last counter that the other replica does not hold either; meaningful if `answers` is not 0.
    var missingUpTo: UInt32
    /// The last scan that found it.
    var scan: UInt64
    /// Time of the first scan that found it; 0 for one that the other replica has reported: it has waited there (R4).
    var since: UInt64
    /// When the other replica was last asked.
    var asked: UInt64
    /// Packets received when it was first seen: those that may still lie in the input buffer come after it.
    var mark: UInt64
    /// Times that the other replica was asked, and that it answered "not held" to different questions.
    var asks: UInt32
    var answers: UInt32
    /// The last question has its answer.
    var isAnswered: Bool
    /// R4: the other replica has said that there is more, and no packet here shows it.
    var isReported: Bool
  }

  static let ways = 8
  let gaps: UnsafeMutablePointer<Gap>
  let capacity: Int
  private let setMask: UInt32
  private(set) var scan: UInt64 = 1

  init(capacity: Int, memory: TableMemory) {
    precondition(capacity >= GapTable.ways && capacity & (capacity - 1) == 0, "a power of two, at least 8")
    self.capacity = capacity
    setMask = UInt32(capacity / GapTable.ways - 1)
    gaps = memory(capacity * MemoryLayout<Gap>.stride).bindMemory(to: Gap.self, capacity: capacity)
  }

  /// A scan begins: what it does not find is gone when the next one begins.
  mutating func beginScan() { scan += 1 }

  private func isLive(_ gap: UnsafeMutablePointer<Gap>) -> Bool { gap.pointee.flowID != 0 && gap.pointee.scan + 1 >= scan }
  private func set(_ flowID: UInt32) -> UnsafeMutablePointer<Gap> {
    // Neighbouring slots, and the generations of one slot, go to different sets.
    gaps + Int((flowID &* 0x9E37_79B1) >> 16 & setMask) * GapTable.ways
  }

  func find(_ flowID: UInt32) -> UnsafeMutablePointer<Gap>? {
    let set = set(flowID)
    for way in 0..<GapTable.ways where set[way].flowID == flowID && isLive(set + way) { return set + way }
    return nil
  }

  /// The other replica is another one now: what the last one has reported or answered says nothing about what this one
  /// holds. What only it knew of, and nothing here shows, is not a gap any more.
  mutating func forgetOther() {
    for index in 0..<capacity {
      let gap = gaps + index
      if gap.pointee.isReported { gap.pointee.flowID = 0 }
      (gap.pointee.asks, gap.pointee.answers, gap.pointee.isAnswered) = (0, 0, false)
    }
  }

  /// The entry at a place, if it is live.
  func live(at index: Int) -> UnsafeMutablePointer<Gap>? { isLive(gaps + index) ? gaps + index : nil }

  /// This scan found a gap. nil: no room.
  mutating func track(
    _ flowID: UInt32, next: UInt32, upTo: UInt32, since: UInt64, mark: UInt64
  ) -> UnsafeMutablePointer<Gap>? {
    if let gap = find(flowID), gap.pointee.next == next {
      gap.pointee.upTo = upTo
      gap.pointee.scan = scan
      return gap
    }
    let set = set(flowID)
    guard let way = (0..<GapTable.ways).first(where: { set[$0].flowID == flowID || !isLive(set + $0) }) else {
      return nil
    }
    set[way] = Gap(
      flowID: flowID, next: next, upTo: upTo, missingUpTo: next, scan: scan, since: since, asked: 0, mark: mark, asks: 0,
      answers: 0, isAnswered: false, isReported: false)
    return set + way
  }
}

extension GapTable.Gap {
  mutating func noteAsked(now: UInt64) {
    asked = now
    asks += 1
    isAnswered = false
  }

  /// The other replica does not hold `range`. A second answer to the same question says nothing new.
  mutating func note(missing range: PacketRange) {
    guard range.contains(flowID, next), asks > 0, !isAnswered else { return }
    missingUpTo = answers == 0 || range.end.isSeriallyBefore(missingUpTo) ? range.end : missingUpTo
    isAnswered = true
    answers += 1
  }
}
