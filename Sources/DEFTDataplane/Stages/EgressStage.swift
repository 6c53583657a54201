import CDPDK
import DEFTCore
import DEFTWire
import Synchronization

/// Egress on an lcore: follows each flow's chain (R1), transmits, and acknowledges to each primary (R2).
@usableFromInline
struct EgressStage: ~Copyable {
  static let burst = 32
  /// More than a stamping unit moves in a round: a vote lets a whole batch go, and one stall several. At the pace of the
  /// intake such a queue would stay for ever, for its packets' latency and for the caches.
  static let burstsPerPoll = 8

  var chain: EgressChain<MbufStorage>
  /// One release ring and one cumulative acknowledgement per pair.
  private let releases: UnsafeMutablePointer<OpaquePointer>
  private let acknowledged: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<UInt64>>>
  private let pairCount: Int
  private var nextPair = 0
  /// Per pair: what was dealt with, the sequence of the next release to arrive (the ring is lossless and in order, so it
  /// need not be in the packet), and whose releases these are.
  private let ledgers: UnsafeMutablePointer<ReleaseLedger>
  private let arrivals: UnsafeMutablePointer<UInt32>
  private let streams: UnsafeMutablePointer<UInt32>
  /// Releases that a ledger remembers behind one that egress holds or refused.
  private static let ledgerCapacity = 16_384
  private let port: UInt16
  private let queue: UInt16
  private let clock: LcoreClock
  private let isShared: Bool
  private let measuresLatency: Bool
  private let counters: UnsafeMutablePointer<LcoreCounters>
  var latency = LatencyHistogram()

  private var packets: UnsafeMutablePointer<Packet>
  /// Waiting for the port to take them; only of `nextPair`. Of the size of `packets`, with which it changes places.
  private var outgoing: UnsafeMutablePointer<Packet>
  private var outgoingHead = 0
  private var outgoingTail = 0
  private var unacknowledged = 0
  /// Of the burst in `outgoing`: places of those that are held or were refused, which are not acknowledged (R2).
  private let deferred: UnsafeMutablePointer<Int>
  private var deferredCount = 0
  /// Held before, let go by this burst.
  private let letGoTags: UnsafeMutablePointer<ReleaseTag>
  private var letGoCount = 0
  private let unwanted: UnsafeMutablePointer<Packet>
  private(set) var transmitted: UInt64 = 0
  /// Times the port took less than it was given.
  private(set) var portFull: UInt64 = 0

  init(
    chain: consuming EgressChain<MbufStorage>, releases: [OpaquePointer],
    acknowledged: [UnsafeMutablePointer<Atomic<UInt64>>], holdCapacity: Int, port: UInt16, queue: UInt16,
    clock: LcoreClock, isShared: Bool, measuresLatency: Bool, counters: UnsafeMutablePointer<LcoreCounters>
  ) {
    self.chain = chain
    pairCount = releases.count
    self.releases = .allocate(capacity: pairCount)
    self.releases.initialize(from: releases, count: pairCount)
    self.acknowledged = .allocate(capacity: pairCount)
    self.acknowledged.initialize(from: acknowledged, count: pairCount)
    ledgers = .allocate(capacity: pairCount)
    for pair in 0..<pairCount {
      (ledgers + pair).initialize(
        to: ReleaseLedger(capacity: Self.ledgerCapacity) { byteCount in
          let table = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
          table.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
          return table
        })
    }
    arrivals = .allocate(capacity: pairCount)
    arrivals.initialize(repeating: 0, count: pairCount)
    streams = .allocate(capacity: pairCount)
    streams.initialize(repeating: 0, count: pairCount)
    deferred = .allocate(capacity: Self.burst)
    letGoTags = .allocate(capacity: holdCapacity)
    self.port = port
    self.queue = queue
    self.clock = clock
    self.isShared = isShared
    self.measuresLatency = measuresLatency
    self.counters = counters
    unwanted = .allocate(capacity: Self.burst)
    // Everything that egress holds may be let go by one packet.
    packets = .allocate(capacity: Self.burst + holdCapacity)
    outgoing = .allocate(capacity: Self.burst + holdCapacity)
  }

  /// Moves up to `burstsPerPoll` bursts. Returns how many packets it moved.
  @inline(never) @usableFromInline
  mutating func poll() -> Int {
    var moved = 0
    for _ in 0..<Self.burstsPerPoll {
      let count = moveBurst()
      moved &+= count
      // What the port did not take waits for the next poll.
      if count == 0 || outgoingHead != outgoingTail { break }
    }
    return moved
  }

  @inline(__always)
  private mutating func moveBurst() -> Int {
    if outgoingHead != outgoingTail { return transmit() }
    for _ in 0..<pairCount {
      let count = Int(cd_ring_dequeue(releases[nextPair], handles(packets), UInt32(Self.burst)))
      if count > 0 {
        decide(count)
        _ = transmit()
        return count
      }
      nextPair = nextPair &+ 1 == pairCount ? 0 : nextPair &+ 1
    }
    return 0
  }

  @inline(__always)
  private mutating func decide(_ count: Int) {
    // The metadata lies in the mbuf's second line, which freeing wants as well.
    for i in 0..<count { cd_prefetch_mbuf(packets[i]) }
    for i in 0..<count { chain.prefetch(packets[i]) }
    let plain = chain.decidePlain(packets, count: count)
    // Nothing waits to go out now, so the burst itself can be what does.
    swap(&packets, &outgoing)
    outgoingTail = plain
    if _slowPath(plain < count) { decideFurther(from: plain, count) }
    unacknowledged = count
    if measuresLatency { recordLatency() }
  }

  @inline(never)
  private mutating func decideFurther(from plain: Int, _ count: Int) {
    let packets = packets
    // Those before are there already.
    for i in plain..<count { packets[i] = outgoing[i] }
    var unwantedCount = 0
    for i in plain..<count {
      let packet = packets[i]
      switch chain.decide(packet) {
      case .transmit:
        outgoing[outgoingTail] = packet
        outgoingTail &+= 1
        letHeldGo(after: packet)
      case .forget:
        unwanted[unwantedCount] = packet
        unwantedCount &+= 1
        letHeldGo(after: packet)
      case .suppress:
        unwanted[unwantedCount] = packet
        unwantedCount &+= 1
      case .hold:
        chain.tagHeld(
          ReleaseTag(
            pair: nextPair, stream: streams[nextPair],
            sequence: arrivals[nextPair] &+ UInt32(truncatingIfNeeded: i)))
        deferAcknowledgement(of: i)
      case .refuse:
        unwanted[unwantedCount] = packet
        unwantedCount &+= 1
        deferAcknowledgement(of: i)
      }
    }
    if unwantedCount > 0 { cd_release(handles(unwanted), UInt32(unwantedCount), 1, isShared) }
  }

  @inline(__always)
  private mutating func letHeldGo(after packet: Packet) {
    while let held = chain.nextHeld(after: packet) { letGo(held) }
  }
  @inline(never)
  private mutating func deferAcknowledgement(of place: Int) {
    deferred[deferredCount] = place
    deferredCount &+= 1
  }
  @inline(never)
  private mutating func letGo(_ held: Packet) {
    letGoTags[letGoCount] = chain.tagOfLastHeld
    letGoCount &+= 1
    if held.pointee.layout.isCloseMarker {
      var single = held
      withUnsafeMutablePointer(to: &single) { cd_release(handles($0), 1, 1, isShared) }
    } else {
      outgoing[outgoingTail] = held
      outgoingTail &+= 1
    }
  }

  /// Stamp → release. Packets of one burst were stamped at one time: they are counted together.
  @inline(__always)
  private mutating func recordLatency() {
    guard outgoingTail > 0 else { return }
    let now = clock.now()
    let (outgoing, count) = (outgoing, outgoingTail)
    var time = outgoing[0].pointee.time
    var first = 0
    for i in 1..<max(1, count) where outgoing[i].pointee.time != time {
      latency.record(now &- min(time, now), count: UInt64(truncatingIfNeeded: i &- first))
      time = outgoing[i].pointee.time
      first = i
    }
    latency.record(now &- min(time, now), count: UInt64(truncatingIfNeeded: count &- first))
  }

  @inline(__always)
  private mutating func transmit() -> Int {
    let waiting = outgoingTail &- outgoingHead
    if waiting > 0 {
      let sent = Int(cd_tx_burst(port, queue, handles(outgoing + outgoingHead), UInt16(min(waiting, 0xffff))))
      transmitted &+= UInt64(sent)
      counters.pointee.transmitted &+= UInt64(sent)
      outgoingHead &+= sent
      guard outgoingHead == outgoingTail else {
        portFull &+= 1
        return sent
      }
    }
    outgoingHead = 0
    outgoingTail = 0
    settle()
    acknowledge()
    nextPair = nextPair &+ 1 == pairCount ? 0 : nextPair &+ 1
    return waiting
  }

  /// The port has the burst: everything of it that is neither held nor refused has been dealt with.
  @inline(__always)
  private mutating func settle() {
    let first = arrivals[nextPair]
    arrivals[nextPair] = first &+ UInt32(truncatingIfNeeded: unacknowledged)
    if _fastPath(deferredCount == 0 && letGoCount == 0) {
      ledgers[nextPair].settle(stream: streams[nextPair], from: first, count: unacknowledged)
    } else {
      settleFurther(first)
    }
    unacknowledged = 0
  }
  @inline(never)
  private mutating func settleFurther(_ first: UInt32) {
    var place = 0
    for i in 0...deferredCount {
      let end = i < deferredCount ? deferred[i] : unacknowledged
      if end > place {
        ledgers[nextPair].settle(
          stream: streams[nextPair], from: first &+ UInt32(truncatingIfNeeded: place), count: end &- place)
      }
      place = end &+ 1
    }
    for i in 0..<letGoCount {
      let tag = letGoTags[i]
      ledgers[Int(tag.pair)].settle(stream: tag.stream, from: tag.sequence, count: 1)
    }
    deferredCount = 0
    letGoCount = 0
  }

  /// Cumulative per pair: what one pair's packet waits for keeps no other pair's acknowledgement back.
  @inline(__always)
  private func acknowledge() {
    for pair in 0..<pairCount { acknowledged[pair].pointee.store(ledgers[pair].acknowledged, ordering: .releasing) }
  }
  // MARK: orders, carried out between two polls

  /// Packets of a generation that has ended which were stamped and never left; the NF may have dropped some of them.
  func lostCount(_ ended: ClockEntry) -> UInt64 {
    UInt64(max(0, ended.next.serialDistance(from: chain.lastLetOut(ended.flowID)) - 1))
  }
  /// Both replicas of the flow's pair were lost: its chain begins anew.
  mutating func begin(_ entry: EgressEntry) {
    while var packet = chain.takeAbandoned(flowIndex: chain.layout.index(entry.flowID)) {
      withUnsafeMutablePointer(to: &packet) { cd_release(handles($0), 1, 1, isShared) }
    }
    chain.begin(entry)
  }

  /// Released packets that a decision was made on and that are not held.
  var decided: UInt64 { chain.transmitted + chain.forgotten + chain.suppressed }
  var isIdle: Bool { outgoingHead == outgoingTail && chain.heldCount == 0 }
}
