import DEFTWire

/// What a secondary has been told is lost (R5), in order of the batches, until a state clock covers it.
///
/// | range | late copies | vote | takeover |
/// |---|---|---|---|
/// | of a batch not voted for | held like any copy | may hold the batch without them | void: as if never said |
/// | of a batch voted for (bound) | given back | binding | skipped by the successor, held copies of it not processed |
///
/// Capacity: fixed, the same as the primary's, which never has more declared and not applied.
@usableFromInline
struct LostRanges: ~Copyable {
  private let ranges: UnsafeMutablePointer<(range: PacketRange, batch: UInt64)>
  private let mask: UInt64
  private let capacity: Int
  private var head: UInt64 = 0
  private var bound: UInt64 = 0
  private var tail: UInt64 = 0

  init(capacity: Int, memory: TableMemory) {
    self.capacity = capacity
    var slots = 1
    while slots < capacity { slots *= 2 }
    mask = UInt64(slots - 1)
    let stride = MemoryLayout<(range: PacketRange, batch: UInt64)>.stride
    ranges = memory(slots * stride).bindMemory(to: (range: PacketRange, batch: UInt64).self, capacity: slots)
  }

  /// Ranges that no state clock covers yet; the first `boundCount` of them are bound.
  var count: Int { Int(tail - head) }
  var boundCount: Int { Int(bound - head) }
  var room: Int { capacity - count }
  subscript(index: Int) -> PacketRange { ranges[Int((head + UInt64(index)) & mask)].range }

  /// There is `room`.
  mutating func append(_ range: PacketRange, batch: UInt64) {
    precondition(room > 0)
    ranges[Int(tail & mask)] = (range, batch)
    tail += 1
  }

  /// The next range to be bound by the vote for `batch`.
  mutating func bindNext(through batch: UInt64) -> PacketRange? {
    guard bound != tail, ranges[Int(bound & mask)].batch <= batch else { return nil }
    bound += 1
    return ranges[Int((bound - 1) & mask)].range
  }

  /// A state clock covers everything up to `batch`.
  mutating func remove(through batch: UInt64) {
    while head != bound, ranges[Int(head & mask)].batch <= batch { head += 1 }
  }

  /// What no vote has bound never was (R5, takeover).
  mutating func voidUnbound() { tail = bound }

  /// The bound range that holds the packet; all ranges if not `boundOnly`.
  func find(_ flowID: UInt32, _ counter: UInt32, boundOnly: Bool) -> PacketRange? {
    for index in 0..<(boundOnly ? boundCount : count) where self[index].contains(flowID, counter) { return self[index] }
    return nil
  }

  /// Calls `body` with each part of `hole` that no range covers.
  func parts(of hole: PacketRange, _ body: (PacketRange) -> Void) {
    var at = hole.from
    while at != hole.end {
      if let lost = find(hole.flowID, at, boundOnly: false) {
        at = lost.end.isSeriallyBefore(hole.end) ? lost.end : hole.end
        continue
      }
      var end = hole.end
      for index in 0..<count where self[index].flowID == hole.flowID {
        let from = self[index].from
        if at.isSeriallyBefore(from), from.isSeriallyBefore(end) { end = from }
      }
      body(PacketRange(flowID: hole.flowID, from: at, end: end))
      at = end
    }
  }

  /// Calls `body` with each part of `range` that is neither in the pendingList at `head` nor declared lost.
  func lacking(_ range: PacketRange, in pending: borrowing PendingList, _ head: UInt32, _ body: (PacketRange) -> Void) {
    pending.holes(head, in: range) { hole in
      if count == 0 { body(hole) } else { parts(of: hole, body) }
    }
  }
}
