import CDPDK
import DEFTCore
import DEFTWire

/// The stamper manager of the paper (IV-A) in software, for ports that cannot spread by flow hash: receives from the one
/// queue and gives each packet to the stamping unit that its canonical flow key chooses.
@usableFromInline
struct DistributorStage: ~Copyable {
  private let input: StamperInput
  private let rings: UnsafeMutablePointer<OpaquePointer>
  private let unitCount: Int
  private let seed: UInt64
  private let counters: UnsafeMutablePointer<LcoreCounters>
  private let burstIn: ReceivedBurst
  private let staged: UnsafeMutablePointer<Packet>
  private let stagedCounts: UnsafeMutablePointer<Int>

  private(set) var received: UInt64 = 0
  /// A unit's ring was full: dropped before stamping.
  private(set) var inputBufferFull: UInt64 = 0

  init(input: StamperInput, rings: [OpaquePointer], seed: UInt64, counters: UnsafeMutablePointer<LcoreCounters>) {
    self.input = input
    self.seed = seed
    self.counters = counters
    unitCount = rings.count
    self.rings = .allocate(capacity: rings.count)
    self.rings.initialize(from: rings, count: rings.count)
    burstIn = ReceivedBurst(capacity: StamperStage.burst)
    staged = .allocate(capacity: rings.count * StamperStage.burst)
    stagedCounts = .allocate(capacity: rings.count)
    stagedCounts.initialize(repeating: 0, count: rings.count)
  }

  var isExhausted: Bool { input.isExhausted(received: received) }

  @inline(never) @usableFromInline
  mutating func poll(now: UInt64) -> Int {
    var credit = Int.max
    for unit in 0..<unitCount { credit = min(credit, Int(cd_ring_free_count(rings[unit]))) }
    let limit = input.limit(now: now, received: received, credit: credit, burst: StamperStage.burst)
    let count =
      limit > 0 ? burstIn.receive(port: input.source.port, queue: input.source.queue, limit: limit, references: 1) : 0
    guard count > 0 else { return 0 }
    received &+= UInt64(count)
    counters.pointee.received &+= UInt64(count)
    var key = FlowKey()
    for i in 0..<count {
      _ = FrameParser.parse(
        UnsafeRawPointer(burstIn.frames[i].unsafelyUnwrapped), count: Int(burstIn.contiguous[i]), key: &key)
      // The high half chooses the unit; the units' own tables, seeded otherwise, use the low bits.
      let unit = Int((key.hash(seed: seed) >> 32).multipliedFullWidth(by: UInt64(unitCount) << 32).high)
      staged[unit * StamperStage.burst + stagedCounts[unit]] = burstIn.packets[i]
      stagedCounts[unit] &+= 1
    }
    for unit in 0..<unitCount where stagedCounts[unit] > 0 {
      let packets = staged + unit * StamperStage.burst
      let sent = Int(cd_ring_enqueue(rings[unit], handles(packets), UInt32(stagedCounts[unit])))
      if sent < stagedCounts[unit] {
        inputBufferFull &+= UInt64(stagedCounts[unit] - sent)
        cd_release(handles(packets + sent), UInt32(stagedCounts[unit] - sent), 1, false)
      }
      stagedCounts[unit] = 0
    }
    return count
  }
}
