import DEFTWire

@testable import DEFTCore

/// One primary, one secondary and one egress, with a stamping unit in front, wired as the data plane's stages are, with
/// queues where it has rings and connections. Every method is one thing that may happen; who calls them decides the order.
/// Whatever happens is checked at once against `SequentialRun`.
///
/// References: 2 with a packet to the primary (its own and egress's), 1 to the secondary.
final class PairHarness {
  typealias Primary = PrimaryReplica<ScriptedFunction, PlainStorage, BookLog>
  typealias Secondary = SecondaryReplica<ScriptedFunction.State, PlainStorage>

  let options: HarnessOptions
  let layout: FlowIDLayout
  let bank = PacketBank()
  let arena = TableArena()
  let prepares: LogBook
  let commits: LogBook
  /// Gap repair's messages, to the secondary and to the primary.
  let repairs: (toSecondary: LogBook, toPrimary: LogBook)
  var unit: StampingUnit
  var primary: Primary
  var secondary: Secondary
  var egress: EgressChain<PlainStorage>
  var random: SeededGenerator
  var now: UInt64 = 1_000

  var toPrimary: HarnessPath
  var toSecondary: HarnessPath
  /// Messages on the wire, or in the receiver's mailbox.
  var messagesToSecondary: [[UInt8]] = []
  var messagesToPrimary: [[UInt8]] = []
  var isConnected = true
  /// What the secondary's node knows of its lcore's votes (R13).
  var told: (voted: UInt64, applied: UInt64) = (0, 0)
  /// Released, on the way to egress, with the place in the order of release; no place: a packet that was sent twice.
  var toEgress: [(packet: Packet, place: Int?)] = []
  var heldPlaces: [Packet: Int] = [:]
  /// By place: flow, counter, and whether egress has dealt with it.
  var releases: [(flowID: UInt32, counter: UInt32, isDone: Bool)] = []
  var acknowledgedPlaces = 0
  var transmitted: [(flowID: UInt32, counter: UInt32)] = []
  var transmittedTimes: [UInt64] = []
  /// Frees of closed flows that the stamper accepted.
  var closesCommitted = 0

  var runs: [UInt32: SequentialRun] = [:]
  /// The 5-tuple of each flow.
  var keys: [UInt32: Int] = [:]
  /// What the primary has told: clocks by batch, and what it knows to be voted for.
  var clocks: [[ClockEntry]] = [[]]
  var knownVoted = 0
  /// Flows that the primary touched since the last batch was closed, and packets it processed.
  var touched: Set<UInt32> = []
  var processed = 0
  /// Packets refused for want of room in a pendingList, which came again.
  var cameAgain = 0
  /// Packets that gap repair brought and that wait for room, in order.
  var repairedForPrimary: [Packet] = []
  var repairedForSecondary: [Packet] = []
  /// No packet is lost on a way any more.
  var isLossless = false
  /// Packets of which no copy was sent on any way, and what was declared lost.
  var destroyed: Set<PacketName> = []
  var lost: Set<PacketName> = []
  /// By batch: what its prepare declares lost.
  var losses: [[PacketRange]] = [[]]
  /// Declared lost in the open batch.
  var declared: [PacketRange] = []
  var violation: String?
  let tableSeed: UInt64

  init(_ options: HarnessOptions, seed: UInt64 = 1) {
    self.options = options
    let pair = options.replication
    layout = FlowIDLayout(units: 1, slotsPerUnit: options.slots)
    let memory = arena.allocate
    prepares = LogBook(capacity: options.prepareLog * pair.longestPrepare)
    let stateSize = MemoryLayout<ScriptedFunction.State>.size
    commits = LogBook(capacity: options.commitLog * pair.longestCommit(stateSize: stateSize))
    let longest = ControlMessageHeader.byteCount + ReplicationConfiguration.repairRanges * PacketRange.byteCount
    repairs = (
      LogBook(capacity: options.repairLog * longest, isRetaining: false),
      LogBook(capacity: options.repairLog * longest, isRetaining: false)
    )
    unit = StampingUnit(unit: 0, layout: layout, seed: seed, idleTimeout: options.idleTimeout, memory: memory)
    primary = Primary(
      function: options.function, configuration: pair, layout: layout, prepares: BookLog(book: prepares),
      commits: BookLog(book: commits), closeCapacity: options.slots, memory: memory)
    secondary = Secondary(
      initialState: ScriptedFunction.initialState, configuration: pair, layout: layout, memory: memory)
    egress = EgressChain(layout: layout, holdCapacity: options.egressHold, memory: memory)
    random = SeededGenerator(seed: seed)
    tableSeed = seed
    toPrimary = HarnessPath(block: options.primaryBlock, references: pair.isReplicated ? 2 : 1)
    toSecondary = HarnessPath(block: options.secondaryBlock, references: 1)
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
  /// The flow generation of a packet; fails if there was never such a flow.
  func withRun(_ flowID: UInt32, _ body: (inout SequentialRun) -> Void) {
    guard runs[flowID] != nil else { return fail("flow \(flowID) was never stamped") }
    body(&runs[flowID]!)
  }

  // MARK: the stamper

  /// Stamps the next packet of a flow and sends it on both ways. nil: no place for the flow (R17).
  @discardableResult
  func stamp(_ key: Int, word: UInt64 = 0xff, time: UInt64? = nil) -> (flowID: UInt32, counter: UInt32)? {
    var flowKey = FlowKey(
      a: UInt64(key), b: 0, c: 0, d: 0, lower: 1, upper: 2, ipProtocol: 17, kind: .ipv4)
    guard let record = unit.table.find(&flowKey, hash: flowKey.hash(seed: tableSeed)) else { return nil }
    let flowID = record.pointee.flowID
    if runs[flowID] == nil {
      runs[flowID] = SequentialRun(flowID: flowID, first: options.firstCounter)
      if options.firstCounter != Stamp.firstCounter {
        record.pointee.nextCounter = options.firstCounter
        startFlow(flowID, at: options.firstCounter)
      }
    }
    keys[flowID] = key
    let counter = unit.take(record, now: now)
    let stampTime = time ?? now
    withRun(flowID) {
      require($0.next == counter, "flow \(flowID) got counter \(counter), not \($0.next)")
      $0.stamp(word, time: stampTime, options.function)
    }
    send(PacketMetadata(time: stampTime, flowID: flowID, counter: counter, layout: .opaque), word)
    return (flowID, counter)
  }

  /// Looks for idle flows; returns how many it closed.
  @discardableResult
  func sweep() -> Int {
    guard unit.sweepIsDue(now: now) else { return 0 }
    var markers = [ClockEntry](repeating: ClockEntry(flowID: 0, next: 0), count: 4)
    let count = unit.sweep(now: now, into: &markers, capacity: 4)
    for marker in markers[..<count] {
      var flags = FrameLayout.opaque
      flags.isCloseMarker = true
      withRun(marker.flowID) {
        require($0.next == marker.next, "the close marker's counter is not the flow's last")
        $0.close(time: now)
      }
      send(PacketMetadata(time: now, flowID: marker.flowID, counter: marker.next, layout: flags), 0)
    }
    return count
  }

  func send(_ metadata: PacketMetadata, _ word: UInt64) {
    let isReplicated = options.replication.isReplicated
    let packet = bank.make(metadata, content: (word, 0), references: isReplicated ? 3 : 1)
    let isSent = send(packet, on: \.toPrimary, losses: options.primaryLosses)
    let isCopied = isReplicated && send(packet, on: \.toSecondary, losses: options.secondaryLosses)
    if !isSent, !isCopied { destroyed.insert(PacketName(metadata)) }
  }

  /// False: it is lost.
  private func send(
    _ packet: Packet, on way: ReferenceWritableKeyPath<PairHarness, HarnessPath>, losses: Int
  ) -> Bool {
    guard isLossless || !random.oneIn(losses) else {
      giveBack(packet, self[keyPath: way].references, "the way")
      return false
    }
    double(packet, on: way)
    self[keyPath: way].send(packet, &random)
    return true
  }

  private func double(_ packet: Packet, on way: ReferenceWritableKeyPath<PairHarness, HarnessPath>) {
    guard random.oneIn(options.doubles) else { return }
    let copy = bank.copy(packet, references: self[keyPath: way].references)
    if random.oneIn(4) { self[keyPath: way].sendLate(copy) } else { self[keyPath: way].send(copy, &random) }
  }

  /// Lets a flow begin at another counter than 1, everywhere.
  private func startFlow(_ flowID: UInt32, at first: UInt32) {
    let index = layout.index(flowID)
    for table in [primary.flows, secondary.flows] {
      table[index].pointee = FlowState(beginning: flowID, ScriptedFunction.initialState)
      table[index].pointee.next = first
      table[index].pointee.lastPassed = first &- 1
    }
    secondary.appliedNext[index] = first
    egress.flows[index] = .init(flowID: flowID, last: first &- 1, heldHead: 0, isClosed: 0)
  }
}
