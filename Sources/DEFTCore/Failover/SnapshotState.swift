import DEFTWire

/// What a primary knows of the snapshot that it is sending (R9).
///
/// | phase | on | to |
/// |---|---|---|
/// | idle | the map: (P, C syncing, e+1); `beginSync` | sweeping |
/// | sweeping | every flow's base entry was written | swept |
/// | swept | drained to the rule change; nothing pending; egress has all from before the sync; no open batch of that | ended |
/// | ended | the secondary says `synced`, complete | voting: nothing is released without its vote any more |
/// | voting | it has voted for all that was released without its vote | done |
/// | any | secondary failed, stepped down | idle |
///
/// Prohibited: `baseEnd` before any of its four conditions; in sync by the map before `done`.
struct SnapshotState: ~Copyable {
  enum Phase { case idle, sweeping, swept, ended, voting, done }
  var phase = Phase.idle
  /// The next index that the sweep looks at.
  var sweepIndex = 0
  /// One bit per flow index: its base entry was written, or it needs none.
  private let based: UnsafeMutablePointer<UInt64>
  private let words: Int
  /// Base entries written and not yet in the log. Capacity: what one burst can touch, and a chunk of the sweep.
  let staged: UnsafeMutableRawPointer
  let stagedCapacity: Int
  let entryBytes: Int
  var stagedHead = 0
  var stagedTail = 0

  /// Base messages in the log, by number: where they end. The table full: the next one waits.
  static var capacity: UInt64 { 64 }
  private let ends: UnsafeMutablePointer<UInt64>
  var sent: UInt64 = 0
  var applied: UInt64 = 0

  /// Everything that was stamped before the rule change has arrived.
  var isDrained = false
  /// Where `tail` was when nothing from before the rule change was pending any more.
  var drainedTail: UInt64?
  /// `baseEnd` is to be sent once more, so that the secondary says again how far it is (R13).
  var isEndDue = false
  /// Where that ends in the log. Prepares that nobody has voted for may lie before it.
  private var repeatedEnd: UInt64 = 0
  /// Passed packets when the sync began: egress must have them before the snapshot counts.
  var passedBefore: UInt64 = 0
  /// End of what was released without a vote.
  var unvotedEnd: UInt64 = 0

  init(configuration: ReplicationConfiguration, layout: FlowIDLayout, entryBytes: Int, memory: TableMemory) {
    precondition(configuration.snapshotChunk > 0)
    self.entryBytes = entryBytes
    words = (layout.indexCount + 63) / 64
    based = memory(words * 8).bindMemory(to: UInt64.self, capacity: words)
    stagedCapacity = configuration.snapshotChunk + configuration.batch
    staged = memory(stagedCapacity * entryBytes)
    ends = memory(Int(Self.capacity) * 8).bindMemory(to: UInt64.self, capacity: Int(Self.capacity))
  }

  mutating func begin(passed: UInt64, tail: UInt64) {
    for word in 0..<words { based[word] = 0 }
    reset()
    phase = .sweeping
    repeatedEnd = 0
    passedBefore = passed
    unvotedEnd = tail
  }
  mutating func reset() {
    phase = .idle
    (sweepIndex, stagedHead, stagedTail, sent, applied) = (0, 0, 0, 0, 0)
    (isDrained, drainedTail, isEndDue) = (false, nil, false)
  }

  /// True the first time.
  mutating func markBased(_ index: Int) -> Bool {
    let bit = UInt64(1) << UInt64(index & 63)
    guard based[index / 64] & bit == 0 else { return false }
    based[index / 64] |= bit
    return true
  }

  /// Room for a base entry; the caller has made sure that there is some.
  mutating func stage() -> UnsafeMutableRawPointer {
    precondition(stagedTail < stagedCapacity, "more flows touched than there is room for")
    stagedTail += 1
    return staged + (stagedTail - 1) * entryBytes
  }
  var stagedCount: Int { stagedTail - stagedHead }
  var room: Int { stagedCapacity - stagedTail }

  /// A base message is in the log; `isRepeated`: the last one, once more.
  mutating func note(end: UInt64, isRepeated: Bool) {
    guard !isRepeated else { return repeatedEnd = end }
    sent += 1
    ends[Int(sent % Self.capacity)] = end
  }
  /// Up to where the log may be trimmed once there is a vote for every batch: the secondary has all of the snapshot.
  var trimmable: UInt64 { applied == sent ? repeatedEnd : 0 }
  func end(of message: UInt64) -> UInt64 { ends[Int(message % Self.capacity)] }
}
