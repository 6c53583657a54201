import DEFTWire

@testable import DEFTCore

/// One pair whose replicas fail and are replaced, on hosts with packets of their own, behind a cluster map. Nothing is lost
/// on the ways to the replicas; the way to egress loses packets at random, and what a dead host had sent.
///
/// Every method is one thing that may happen. What leaves egress is checked at once against `SequentialRun`.
final class FailoverHarness {
  typealias Primary = PrimaryReplica<ScriptedFunction, PlainStorage, BookLog>
  typealias Secondary = SecondaryReplica<ScriptedFunction.State, PlainStorage>

  /// A host, its input and what is on its way to and from its peer.
  final class Host {
    let id: NodeID
    var primary: UnsafeMutablePointer<Primary>?
    var secondary: UnsafeMutablePointer<Secondary>?
    /// With the place in the order of stamping.
    var input: [(packet: Packet, place: Int)] = []
    var prepares: LogBook?
    var commits: LogBook?
    /// To this host's lcore.
    var mail: [[UInt8]] = []
    var told: (voted: UInt64, applied: UInt64) = (0, 0)
    var stream: UInt32 = 0
    init(_ id: NodeID) { self.id = id }
    deinit {
      primary?.deinitialize(count: 1).deallocate()
      secondary?.deinitialize(count: 1).deallocate()
    }
  }
  struct Release {
    var packet: Packet
    var tag: ReleaseTag
  }

  let options: HarnessOptions
  let layout: FlowIDLayout
  let bank = PacketBank()
  let arena = TableArena()
  var random: SeededGenerator
  var now: UInt64 = 1_000
  var map: ClusterMap
  var primary: Host
  var secondary: Host?
  /// Dead or dismissed hosts that have not learned of it.
  var zombie: Host?
  var lastHost: UInt16 = 2
  var egress: EgressChain<PlainStorage>
  var ledger: ReleaseLedger
  var toEgress: [Release] = []
  /// One in so many releases is lost on the way; 0: none.
  var releaseLoss = 0
  var runs: [UInt32: SequentialRun] = [:]
  var stamped = 0
  /// At rest there is a secondary in sync.
  var needsSecondary = false
  var ruleChange = 0
  var transmitted = 0
  var violation: String?
  /// What happened.
  var takeovers = 0
  var syncs = 0
  var syncsFinished = 0
  var inDoubt = 0
  var retransmitted = 0
  var repaired = 0
  var suppressed: UInt64 { egress.suppressed }

  init(_ options: HarnessOptions, seed: UInt64 = 1) {
    self.options = options
    layout = FlowIDLayout(units: 1, slotsPerUnit: options.slots)
    random = SeededGenerator(seed: seed)
    map = ClusterMap(pairs: [
      PairAssignment(
        epoch: options.replication.epoch, primary: NodeID(1), secondary: NodeID(2), standing: .inSync,
        policy: options.replication.policy, egress: NodeID(999))
    ])
    egress = EgressChain(layout: layout, holdCapacity: options.egressHold, memory: arena.allocate)
    ledger = ReleaseLedger(capacity: 64, memory: arena.allocate)
    primary = Host(NodeID(1))
    let other = Host(NodeID(2))
    secondary = other
    makeLogs(primary)
    primary.primary = .allocate(capacity: 1)
    primary.primary!.initialize(
      to: Primary(
        function: options.function, configuration: options.replication, layout: layout,
        prepares: BookLog(book: primary.prepares!), commits: BookLog(book: primary.commits!), closeCapacity: options.slots,
        memory: arena.allocate))
    primary.stream = options.replication.epoch
    other.secondary = .allocate(capacity: 1)
    other.secondary!.initialize(
      to: Secondary(
        initialState: ScriptedFunction.initialState, configuration: options.replication, layout: layout,
        memory: arena.allocate))
  }

  /// Each epoch with a secondary is a stream of its own.
  func makeLogs(_ host: Host) {
    let pair = options.replication
    let stateSize = MemoryLayout<ScriptedFunction.State>.size
    let longest = pair.longestPrepare + pair.snapshotChunk * 64 + 64
    host.prepares = LogBook(capacity: options.prepareLog * longest)
    host.commits = LogBook(capacity: options.commitLog * pair.longestCommit(stateSize: stateSize))
  }

  func fail(_ what: String) {
    if violation == nil { violation = what }
  }
  func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { fail(what()) }
  }
  func giveBack(_ packet: Packet, _ references: Int, _ who: String) {
    require(bank.giveBack(packet, references), "\(who) gives back a reference that it does not have")
  }
  var assignment: PairAssignment { map[0] }

  // MARK: packets

  func stamp(_ key: Int, word: UInt64 = 0xff) {
    let flowID = layout.first(unit: 0, slot: key)
    if runs[flowID] == nil { runs[flowID] = SequentialRun(flowID: flowID, first: Stamp.firstCounter) }
    let counter = runs[flowID]!.next
    runs[flowID]!.stamp(word, time: now, options.function)
    let metadata = PacketMetadata(time: now, flowID: flowID, counter: counter, layout: .opaque)
    send(metadata, word, to: primary, references: 2)
    if let secondary { send(metadata, word, to: secondary, references: 1) }
    stamped += 1
  }
  /// Stamps the flow's close marker.
  func close(_ key: Int) {
    let flowID = layout.first(unit: 0, slot: key)
    var flags = FrameLayout.opaque
    flags.isCloseMarker = true
    let metadata = PacketMetadata(time: now, flowID: flowID, counter: runs[flowID]!.next, layout: flags)
    runs[flowID]!.close(time: now)
    send(metadata, 0, to: primary, references: 2)
    if let secondary { send(metadata, 0, to: secondary, references: 1) }
    stamped += 1
  }
  private func send(_ metadata: PacketMetadata, _ word: UInt64, to host: Host, references: Int) {
    let block = references == 2 ? options.primaryBlock : options.secondaryBlock
    let packet = bank.make(metadata, content: (word, 0), references: references)
    host.input.insert((packet, stamped), at: max(0, host.input.count - random.below(block)))
  }

  func deliverToPrimary(_ most: Int = .max, _ host: Host? = nil) {
    let host = host ?? primary
    replay(host)
    let count = min(most, host.input.count, host.primary!.pointee.room)
    guard count > 0 else { return }
    let packets = host.input[..<count].map(\.packet)
    let places = host.input[..<count].map(\.place)
    host.input.removeFirst(count)
    var unwanted = packets
    let fullBefore = host.primary!.pointee.counters.pendingFull
    let refused = host.primary!.pointee.process(packets, count: count, unwanted: &unwanted, now: now)
    // What finds no room in the pendingList comes again (the repair, R10).
    let isFull = host.primary!.pointee.counters.pendingFull != fullBefore
    for packet in unwanted[..<refused] {
      if isFull { host.input.append((packet, places[packets.firstIndex(of: packet)!])) }
      if !isFull { giveBack(packet, 2, "a primary's input") }
    }
  }

  /// Copies taken over.
  func replay(_ host: Host) {
    var unwanted = [Packet](repeating: Packet(bitPattern: 8)!, count: 16)
    let count = host.primary!.pointee.replay(unwanted: &unwanted, capacity: 16, now: now)
    for packet in unwanted[..<count] { giveBack(packet, 2, "the backlog") }
  }

  func deliverToSecondary(_ most: Int = .max) {
    guard let host = secondary else { return }
    let count = min(most, host.input.count, host.secondary!.pointee.room)
    guard count > 0 else { return }
    let packets = host.input[..<count].map(\.packet)
    host.input.removeFirst(count)
    hold(packets, host)
  }
  func hold(_ packets: [Packet], _ host: Host) {
    var unwanted = packets
    for packet in packets {
      var one = packet
      let fullBefore = host.secondary!.pointee.counters.pendingFull
      guard host.secondary!.pointee.hold(&one, count: 1, unwanted: &unwanted) == 1 else { continue }
      if host.secondary!.pointee.counters.pendingFull != fullBefore {
        host.input.append((packet, stamped))
      } else {
        giveBack(packet, 1, "the secondary's input")
      }
    }
  }

  func release(_ most: Int = 64, _ host: Host? = nil) {
    let host = host ?? primary
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: most)
    let first = host.primary!.pointee.releaseSequence
    let count = host.primary!.pointee.release(into: &packets, capacity: most)
    send(packets[..<count], first: first, host)
  }
  func retransmit(_ most: Int = 8) {
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: most)
    let (count, first) = primary.primary!.pointee.retransmit(into: &packets, capacity: most, now: now)
    for packet in packets[..<count] { bank.addReference(packet) }
    retransmitted += count
    send(packets[..<count], first: first, primary)
  }
  private func send(_ packets: ArraySlice<Packet>, first: UInt64, _ host: Host) {
    for (offset, packet) in packets.enumerated() {
      if random.oneIn(releaseLoss) {
        giveBack(packet, 1, "the way to egress")
        continue
      }
      let tag = ReleaseTag(pair: 0, stream: host.stream, sequence: UInt32(truncatingIfNeeded: first) &+ UInt32(offset))
      // A host has headers of its own: what it releases says what its NF said.
      toEgress.append(Release(packet: bank.copy(packet, references: 1), tag: tag))
      giveBack(packet, 1, "the way to egress")
    }
  }

  func runEgress(_ most: Int = 64) {
    for _ in 0..<min(most, toEgress.count) {
      let release = toEgress.remove(at: random.below(min(options.egressWindow, toEgress.count)))
      let packet = release.packet
      switch egress.decide(packet) {
      case .transmit, .forget:
        leave(packet, release.tag)
        while let held = egress.nextHeld(after: packet) {
          leave(held, egress.tagOfLastHeld)
          giveBack(held, 1, "egress")
        }
        giveBack(packet, 1, "egress")
      case .suppress:
        settle(release.tag)
        giveBack(packet, 1, "egress")
      case .hold: egress.tagHeld(release.tag)
      case .refuse: giveBack(packet, 1, "egress")
      }
    }
  }
  private func settle(_ tag: ReleaseTag) { ledger.settle(stream: tag.stream, from: tag.sequence, count: 1) }
  private func leave(_ packet: Packet, _ tag: ReleaseTag) {
    let (flowID, counter) = (packet.pointee.flowID, packet.pointee.counter)
    let run = runs[flowID]!
    if run.out < run.leaving.count {
      let due = run.leaving[run.out]
      require(due.counter == counter, "(\(flowID), \(counter)) leaves instead of \(due.counter)")
      require(due.previous == packet.pointee.previousPassed, "(\(flowID), \(counter)) names another as passed before it")
    } else {
      fail("flow \(flowID) sends too much: \(counter)")
    }
    runs[flowID]!.out += 1
    transmitted += 1
    settle(tag)
  }
  func acknowledge() {
    // Nothing of this stream has come yet, and perhaps never will: the NF may drop everything.
    guard ledger.stream == primary.stream else {
      _ = primary.primary!.pointee.acknowledged(0)
      return
    }
    _ = primary.primary!.pointee.acknowledged(ledger.acknowledged)
  }

  func free(_ most: Int = 64) {
    freeAtPrimary(primary, most)
    guard let host = secondary else { return }
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: most)
    let count = host.secondary!.pointee.takeFreed(into: &packets, capacity: most)
    for packet in packets[..<count] { giveBack(packet, 1, "the secondary") }
  }
  private func freeAtPrimary(_ host: Host, _ most: Int) {
    var passed = [Packet](repeating: Packet(bitPattern: 8)!, count: most)
    var dropped = passed
    let counts = host.primary!.pointee.takeFreed(passed: &passed, dropped: &dropped, capacity: most)
    for packet in passed[..<counts.passed] {
      let (flowID, counter) = (packet.pointee.flowID, packet.pointee.counter)
      let run = runs[flowID]!
      let isOut = run.leaving[..<run.out].contains { $0.counter == counter }
      require(isOut, "(\(flowID), \(counter)) is freed before it is out")
      giveBack(packet, 1, "the primary")
    }
    for packet in dropped[..<counts.dropped] { giveBack(packet, 2, "the primary") }
  }
}
