import CDPDK
import DEFTCore
import DEFTWire

/// One stamping unit on an lcore: receives a burst, finds each packet's flow, stamps it and lets the switch send it on.
/// A packet that cannot be sent on is dropped here, before it has a stamp (R17).
@usableFromInline
struct StamperStage: ~Copyable {
  /// Packets moved by one poll of any stage, at most.
  @usableFromInline static let burst = 32
  /// In front of a source that can wait, no more than this is queued at a primary: a longer queue would only cool the caches.
  static let patientBacklog = 256

  private let input: StamperInput
  private var unit: StampingUnit
  var fabric: Switch
  private let clock: LcoreClock
  private let pool: OpaquePointer
  /// Flow IDs whose close is committed, one ring per pair, as pointer-sized words.
  private let committedCloses: [OpaquePointer]
  /// Another port that gets a copy of every stamped packet (`--stamped-out`).
  private let mirrorPort: UInt16?
  private let servicePath: UInt32
  /// Where planned failures stop the intake; nil without any.
  private let gate: IntakeGate?
  /// What injected faults shuffle goes on after this time, ns: gap repair takes what is under way for longer for lost.
  private let longestShuffle: UInt64
  private var nextFlush: UInt64
  private let references: UInt16
  private let counters: UnsafeMutablePointer<LcoreCounters>

  private let burstIn: ReceivedBurst
  private let plain: UnsafeMutablePointer<FlowKey.IPv4Words>
  private let keys: UnsafeMutablePointer<FlowKey>
  private let hashes: UnsafeMutablePointer<UInt64>
  private let candidates: UnsafeMutablePointer<UnsafeMutablePointer<FlowTable.Record>>
  private let layouts: UnsafeMutablePointer<FrameLayout>
  /// Places of frames that are not plain.
  private let odd: UnsafeMutablePointer<Int>
  private let kept: UnsafeMutablePointer<Packet>
  private let dropped: UnsafeMutablePointer<Packet>
  private let markers: UnsafeMutablePointer<ClockEntry>
  /// Copies on their way to the mirror port.
  private let mirrored: UnsafeMutablePointer<Packet>

  private(set) var received: UInt64 = 0
  private(set) var stamped: UInt64 = 0
  private(set) var markersSent: UInt64 = 0
  private(set) var inputBufferFull: UInt64 = 0
  private(set) var flowTableFull: UInt64 = 0
  private(set) var mirrorLost: UInt64 = 0

  init(
    input: StamperInput, unit: consuming StampingUnit, fabric: consuming Switch, clock: LcoreClock, pool: OpaquePointer,
    committedCloses: [OpaquePointer], mirrorPort: UInt16?, servicePath: UInt32,
    gate: IntakeGate?, longestShuffle: UInt64?, counters: UnsafeMutablePointer<LcoreCounters>
  ) {
    self.longestShuffle = longestShuffle ?? 0
    nextFlush = longestShuffle == nil ? .max : 0
    self.input = input
    self.unit = unit
    // Primary, egress, and the secondary if there is one, each hold a reference.
    references = fabric.isReplicated ? 3 : 1
    self.fabric = fabric
    self.clock = clock
    self.pool = pool
    self.committedCloses = committedCloses
    self.mirrorPort = mirrorPort
    self.servicePath = servicePath
    self.gate = gate
    self.counters = counters
    burstIn = ReceivedBurst(capacity: Self.burst)
    plain = .allocate(capacity: Self.burst)
    odd = .allocate(capacity: Self.burst)
    keys = .allocate(capacity: Self.burst)
    hashes = .allocate(capacity: Self.burst)
    candidates = .allocate(capacity: Self.burst)
    layouts = .allocate(capacity: Self.burst)
    kept = .allocate(capacity: Self.burst)
    dropped = .allocate(capacity: Self.burst)
    markers = .allocate(capacity: Self.burst)
    mirrored = .allocate(capacity: Self.burst)
  }

  /// Flows that have a slot now, generations closed so far.
  var flows: (occupied: Int, closed: UInt64) { (unit.table.slots.occupied, unit.closed) }
  /// Nothing more will come.
  var isExhausted: Bool { input.isExhausted(received: received) }

  /// Moves one burst. Returns how many packets it moved.
  @inline(never) @usableFromInline
  mutating func poll(now: UInt64) -> Int {
    takeCommittedCloses()
    if _slowPath(now >= nextFlush) {
      nextFlush = now &+ longestShuffle
      fabric.flush()
    }
    let credit = fabric.refreshCredits(backlogLimit: input.waits ? Self.patientBacklog : .max)
    let markerCount = unit.sweepIsDue(now: now) ? sweep(now: now, credit: credit) : 0
    var limit = input.limit(now: now, received: received, credit: credit - markerCount, burst: Self.burst)
    if let gate { limit = min(limit, gate.left) }
    let count = limit > 0 ? input.receive(into: burstIn, limit: limit, references: references) : 0
    guard count > 0 else {
      fabric.flush()
      return markerCount
    }
    received &+= UInt64(count)
    counters.pointee.received &+= UInt64(count)
    stampBurst(count, credit: credit - markerCount, now: now)
    return count
  }

  /// - Parameter credit: packets that every pair has room for at least.
  @inline(__always)
  private mutating func stampBurst(_ count: Int, credit: Int, now: UInt64) {
    let oddCount = findCandidates(count)
    let keptCount =
      oddCount == 0
      ? stampCandidates(count, arePlain: true, credit: credit, now: now)
      : stampOddBurst(count, oddCount, credit: credit, now: now)
    stamped &+= UInt64(keptCount)
    if let gate { gate.count(keptCount) }
    if let mirrorPort { mirror(keptCount, to: mirrorPort) }
    fabric.forward(kept, count: keptCount)
  }

  /// Parses the burst and looks up where each flow most likely is. What is not a plain frame is left over; returns how many.
  @inline(__always)
  private mutating func findCandidates(_ count: Int) -> Int {
    // Local copies: through `self` every store to a packet would make the compiler load them again.
    let lookup = unit.table.lookup
    let (frames, contiguous) = (burstIn.frames, burstIn.contiguous)
    let (plain, hashes, candidates, layouts, odd) = (plain, hashes, candidates, layouts, odd)
    var oddCount = 0
    for i in 0..<count {
      guard
        let parsed = FrameParser.parsePlain(
          UnsafeRawPointer(frames[i].unsafelyUnwrapped), count: Int(truncatingIfNeeded: contiguous[i]))
      else {
        odd[oddCount] = i
        oddCount &+= 1
        hashes[i] = 0
        continue
      }
      plain[i] = parsed.words
      layouts[i] = parsed.layout
      let hash = lookup.hash(parsed.words)
      hashes[i] = hash
      cd_prefetch(lookup.indexLine(hash))
    }
    for i in 0..<count {
      let candidate = lookup.candidate(hashes[i])
      candidates[i] = candidate
      cd_prefetch(candidate)
    }
    return oddCount
  }

  /// With frames among them that `findCandidates` left over.
  @inline(never)
  private mutating func stampOddBurst(_ count: Int, _ oddCount: Int, credit: Int, now: UInt64) -> Int {
    let lookup = unit.table.lookup
    for i in 0..<count { keys[i] = FlowKey(plain[i]) }
    for place in 0..<oddCount {
      let i = odd[place]
      let frame = UnsafeRawPointer(burstIn.frames[i].unsafelyUnwrapped)
      layouts[i] = FrameParser.parseAny(frame, count: Int(truncatingIfNeeded: burstIn.contiguous[i]), key: &keys[i])
      hashes[i] = lookup.hash(keys[i])
      cd_prefetch(lookup.indexLine(hashes[i]))
    }
    for place in 0..<oddCount {
      let i = odd[place]
      candidates[i] = lookup.candidate(hashes[i])
      cd_prefetch(candidates[i])
    }
    return stampCandidates(count, arePlain: false, credit: credit, now: now)
  }

  /// Stamps the burst, in order, into `kept`; returns how many. What has no place or no credit is given back.
  /// - Parameter arePlain: all are plain frames; otherwise `keys` has all keys.
  @inline(__always)
  private mutating func stampCandidates(_ count: Int, arePlain: Bool, credit: Int, now: UInt64) -> Int {
    let packets = burstIn.packets
    let (plain, keys, candidates, layouts, kept) = (plain, keys, candidates, layouts, kept)
    let isUnlimited = credit >= count
    let usesCaptureTime = input.usesCaptureTime
    var keptCount = 0
    var droppedCount = 0
    for i in 0..<count {
      let packet = packets[i]
      var flow = candidates[i]
      if _slowPath(!(arePlain ? flow.pointee.key.equals(plain[i]) : flow.pointee.key == keys[i])) {
        let key = arePlain ? FlowKey(plain[i]) : keys[i]
        guard let found = unit.table.findFurther(key, hash: hashes[i]) else {
          flowTableFull &+= 1
          dropped[droppedCount] = packet
          droppedCount &+= 1
          continue
        }
        flow = found
      }
      let flowID = flow.pointee.flowID
      // Idleness is a matter of the lcore's clock, whatever time the stamp carries.
      flow.pointee.lastSeen = now
      guard isUnlimited || fabric.takeCredit(fabric.pair(flowID)) else {
        inputBufferFull &+= 1
        dropped[droppedCount] = packet
        droppedCount &+= 1
        continue
      }
      var time = now
      if _slowPath(usesCaptureTime) { time = input.captureTime(packet, otherwise: now) }
      packet.stamp(flowID: flowID, counter: flow.pointee.takeCounter(), time: time, layout: layouts[i])
      kept[keptCount] = packet
      keptCount &+= 1
    }
    if droppedCount > 0 { cd_release(handles(dropped), UInt32(droppedCount), references, false) }
    return keptCount
  }

  /// Ends idle flows: sends a close marker for each (R16). A marker needs a buffer and a credit like any packet.
  private mutating func sweep(now: UInt64, credit: Int) -> Int {
    var buffers = 0
    while buffers < min(8, credit) {
      guard let packet = cd_new_packet(pool, 0, references) else { break }
      kept[buffers] = packet.assumingMemoryBound(to: PacketMetadata.self)
      buffers += 1
    }
    let count = unit.sweep(now: now, into: markers, capacity: buffers)
    if buffers > count { cd_release(handles(kept + count), UInt32(buffers - count), references, false) }
    guard count > 0 else { return 0 }
    for i in 0..<count {
      let flowID = markers[i].flowID
      _ = fabric.takeCredit(fabric.pair(flowID))
      var layout = FrameLayout.opaque
      layout.isCloseMarker = true
      kept[i].pointee = PacketMetadata(time: now, flowID: flowID, counter: markers[i].next, layout: layout)
    }
    markersSent &+= UInt64(count)
    if let mirrorPort { mirror(count, to: mirrorPort) }
    fabric.forward(kept, count: count)
    return count
  }

  /// Flows of a pair whose close marker is out and whose slot is not free yet.
  func closingFlows(ofPair pair: Int) -> [UInt32] {
    unit.table.slots.closingFlows.filter { fabric.pair($0) == pair }
  }

  // MARK: a pair has lost its states

  /// One piece of the slots: the generations of the pair's flows end. What its dead primary said of closes comes first.
  mutating func endGenerations(_ restart: inout UnitRestart, pair: Int, limit: Int, _ body: (ClockEntry) -> Void) {
    takeCommittedCloses()
    unit.endGenerations(&restart, limit: limit, isOwned: { fabric.pair(UInt32($0)) == pair }, body)
  }
  /// One piece of the slots' floors, for the pair's new primary.
  func tellFloors(_ restart: inout UnitRestart, pair: Int, limit: Int, _ body: (UInt32) -> Void) {
    unit.tellFloors(&restart, limit: limit, isOwned: { fabric.pair(UInt32($0)) == pair }, body)
  }

  @inline(__always)
  private mutating func takeCommittedCloses() {
    for ring in committedCloses where cd_ring_count(ring) > 0 { freeSlots(ring) }
  }
  @inline(never)
  private mutating func freeSlots(_ ring: OpaquePointer) {
    var word: UnsafeMutableRawPointer?
    while cd_ring_dequeue(ring, &word, 1) == 1 {
      let flowID = UInt32(UInt(bitPattern: word))
      let wasClosing = unit.closeCommitted(flowID)
      precondition(wasClosing, "a close was committed that this unit did not begin")
    }
  }

  /// Inside the process the stamp travels in the packet's metadata; its bytes (RFC 8300) are written where a packet leaves.
  @inline(never)
  private mutating func mirror(_ count: Int, to port: UInt16) {
    var copied = 0
    for i in 0..<count {
      let original = kept[i]
      var room: UnsafeMutablePointer<UInt8>?
      guard let copy = cd_copy_behind_header(original, pool, UInt16(Stamp.byteCount), &room), let room else { break }
      Stamp(
        servicePath: servicePath, serviceIndex: 255, flowID: original.pointee.flowID, counter: original.pointee.counter,
        time: original.pointee.time, isCloseMarker: original.pointee.layout.isCloseMarker
      ).write(to: UnsafeMutableRawPointer(room))
      mirrored[copied] = copy.assumingMemoryBound(to: PacketMetadata.self)
      copied += 1
    }
    let sent = Int(cd_tx_burst(port, 0, handles(mirrored), UInt16(copied)))
    mirrorLost &+= UInt64(count - sent)
    if sent < copied { cd_release(handles(mirrored + sent), UInt32(copied - sent), 1, false) }
  }
}
