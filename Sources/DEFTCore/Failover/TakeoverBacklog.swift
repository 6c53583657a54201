import DEFTWire

/// The copies that a secondary held when it took over, in order of arrival, as far as they have not been processed. The
/// memory is the secondary's.
///
/// | phase | feeds | ends when |
/// |---|---|---|
/// | voted | copies that a voted packet clock covers | none of those is left |
/// | rest | the others, if the policy lets them, or from the next sync on | every one has been offered once |
/// | stragglers | those that found no room in the pendingList | none is left |
///
/// Passes over the copies compact them in place: `head..<kept` wait for the next pass, `scan..<tail` for this one.
struct TakeoverBacklog<State: BitwiseCopyable & Sendable, Storage: PacketStorage> {
  enum Phase { case voted, rest, stragglers }
  typealias Copy = SecondaryReplica<State, Storage>.Copy

  private var copies: UnsafeMutablePointer<Copy>?
  private var mask: UInt64 = 0
  private var head: UInt64 = 0
  private var kept: UInt64 = 0
  private var scan: UInt64 = 0
  private var tail: UInt64 = 0
  /// Per flow: `next` of the last voted packet clock. Only of flows that have copies here.
  private(set) var votedNext: UnsafeMutablePointer<UInt32>?
  var phase = Phase.stragglers
  /// How far the primary was at the beginning of this pass: without progress since, another would find nothing new.
  private(set) var passStart = UInt64.max

  init() {}
  init(
    copies: UnsafeMutablePointer<Copy>, mask: UInt64, head: UInt64, tail: UInt64, votedNext: UnsafeMutablePointer<UInt32>
  ) {
    self.copies = copies
    self.mask = mask
    self.head = head
    kept = head
    scan = head
    self.tail = tail
    self.votedNext = votedNext
    phase = .voted
  }

  var count: Int { Int(tail - scan + (kept - head)) }
  var isAtEndOfPass: Bool { scan == tail }
  var current: Copy { copies.unsafelyUnwrapped[Int(scan & mask)] }

  mutating func drop() { scan += 1 }
  mutating func keep() {
    let copies = copies.unsafelyUnwrapped
    copies[Int(kept & mask)] = copies[Int(scan & mask)]
    kept += 1
    scan += 1
  }
  mutating func beginPass(at position: UInt64) {
    precondition(scan == tail)
    passStart = position
    tail = kept
    kept = head
    scan = head
  }
  /// Takes the oldest out, of a replica that has stepped down; `count` is not 0.
  mutating func removeFirst() -> Packet {
    let copies = copies.unsafelyUnwrapped
    if head != kept {
      head += 1
      return copies[Int((head - 1) & mask)].packet
    }
    scan += 1
    return copies[Int((scan - 1) & mask)].packet
  }

  /// All copies that wait, in no order.
  func forEach(_ body: (Packet) -> Void) {
    for position in head..<kept { body(copies.unsafelyUnwrapped[Int(position & mask)].packet) }
    for position in scan..<tail { body(copies.unsafelyUnwrapped[Int(position & mask)].packet) }
  }

  /// At the beginning of a pass: a copy that was voted for is left.
  func holdsVoted(_ layout: FlowIDLayout) -> Bool {
    for position in scan..<tail where isVoted(copies.unsafelyUnwrapped[Int(position & mask)], layout) { return true }
    return false
  }

  /// Counter of the flow's first copy here in `range`; the range's end if there is none.
  func firstCounter(in range: PacketRange) -> UInt32 {
    var first = range.end
    func look(_ positions: Range<UInt64>) {
      for position in positions {
        let copy = copies.unsafelyUnwrapped[Int(position & mask)]
        guard range.contains(copy.flowID, copy.counter), copy.counter.isSeriallyBefore(first) else { continue }
        first = copy.counter
      }
    }
    look(head..<kept)
    look(scan..<tail)
    return first
  }

  func isVoted(_ copy: Copy, _ layout: FlowIDLayout) -> Bool {
    copy.counter.isSeriallyBefore(votedNext.unsafelyUnwrapped[layout.index(copy.flowID)])
  }
}
