import DEFTWire

/// The packet clocks of the batches that were prepared and whose state has not come, oldest first: a takeover releases what
/// the voted ones cover at once. Written in sequence, read only at a takeover.
///
/// Capacity: `entries` (twice what a window and a state clock cover) and as many batches. Full: the oldest batch is
/// forgotten and counted. That is safe: its packets are then taken for not voted for, which delays them under the policy
/// `hold`, and changes nothing under `release`.
struct ClockHistory: ~Copyable {
  private let entries: UnsafeMutablePointer<ClockEntry>
  private let mask: UInt64
  private var head: UInt64 = 0
  private var tail: UInt64 = 0
  /// Where the entries of a batch end.
  private let ends: UnsafeMutablePointer<UInt64>
  private let endMask: UInt64
  /// Batches `first..<next` are here.
  private var first: UInt64 = 1
  private var next: UInt64 = 1

  init(configuration: ReplicationConfiguration, memory: TableMemory) {
    let longest = configuration.batchFlows
    let usual = configuration.window * configuration.batch + configuration.stateClockPackets
    var capacity = 1
    while capacity < 2 * max(longest, usual) { capacity *= 2 }
    entries = memory(capacity * MemoryLayout<ClockEntry>.stride).bindMemory(to: ClockEntry.self, capacity: capacity)
    mask = UInt64(capacity - 1)
    ends = memory(capacity * MemoryLayout<UInt64>.stride).bindMemory(to: UInt64.self, capacity: capacity)
    endMask = UInt64(capacity - 1)
  }

  /// Makes room for the next batch. Returns how many old ones were forgotten for it.
  mutating func open(entries count: Int) -> UInt64 {
    var forgotten: UInt64 = 0
    while first != next, tail - head + UInt64(count) > mask + 1 || next - first > endMask {
      forget(through: first)
      forgotten += 1
    }
    return forgotten
  }
  /// Entries as they lie in a message; there is room for them (`open`).
  mutating func append(_ source: UnsafeRawPointer, count: Int) {
    let place = Int(tail & mask)
    let first = min(count, Int(mask) + 1 - place)
    copy(source, to: entries + place, count: first)
    copy(source + first * ClockEntry.byteCount, to: entries, count: count - first)
    tail += UInt64(count)
  }
  private func copy(_ source: UnsafeRawPointer, to place: UnsafeMutablePointer<ClockEntry>, count: Int) {
    for i in 0..<count { place[i] = ClockEntry(reading: source + i &* ClockEntry.byteCount) }
  }
  mutating func close(batch: UInt64) {
    if first == next { (first, next) = (batch, batch) }
    ends[Int(batch & endMask)] = tail
    next = batch + 1
  }

  /// The states of everything up to `batch` are here.
  mutating func forget(through batch: UInt64) {
    guard first != next, batch >= first else { return }
    let last = min(batch, next - 1)
    head = ends[Int(last & endMask)]
    first = last + 1
  }
  /// R6: what was not voted for is void.
  mutating func truncate(after batch: UInt64) {
    guard first != next, batch + 1 < next else { return }
    tail = batch < first ? head : ends[Int(batch & endMask)]
    next = max(first, batch + 1)
  }
  /// A new epoch is a new stream: batches begin with 1 again.
  mutating func reset() { (head, tail, first, next) = (0, 0, 1, 1) }

  /// Entries in all.
  var count: Int { Int(tail - head) }
  subscript(position: Int) -> ClockEntry { entries[Int((head + UInt64(position)) & mask)] }
}
