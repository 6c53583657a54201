import DEFTCore

/// What one run is made of. Everything follows from the seed; a run with the same seed and the same limits is the same run.
public struct SimulationOptions: Sendable {
  public var seed: UInt64
  public var faults = FaultSet.none
  public var units = 1
  public var pairs = 1
  public var nodes = 2
  public var slotsPerUnit = 16
  /// Different connections.
  public var keys = 6
  /// Packets to stamp.
  public var packets = 200
  /// Mean time between bursts of a unit, and packets in one at most.
  public var burstGap: UInt64 = 2_000
  public var burst = 8
  public var idleTimeout: UInt64 = 1_000_000
  /// At the end every flow is closed and every slot has to come back.
  public var closesFlows = false
  /// A packet without a credit is dropped before it is stamped; otherwise the source waits (R17).
  public var dropsUnstamped = false
  var function = SimulatedFunction()
  public var replication = ReplicationConfiguration(flowGroups: 4, kept: 64)
  /// Packets on their way to a replica, in paths and its input, at most.
  public var inputBuffer = 64
  /// Packets on their way to egress at most, per pair.
  public var releaseRing = 64
  public var egressHold = 64
  /// In longest messages.
  public var prepareLog = 4
  public var commitLog = 4
  /// Bytes of gap repair's logs.
  public var repairLog = 4096
  /// Messages in a replica's inbox, votes in an outbox.
  public var inbox = 8
  public var pool = 8192
  /// Both replicas hold references to one packet, as in one process; otherwise each has its own copy, as on two hosts.
  public var sharesPackets = true
  /// Times, ns: mean transit of a packet and of a message, and between two turns of a stage.
  public var pathLatency: UInt64 = 500
  public var controlLatency: UInt64 = 10_000
  public var pollInterval: UInt64 = 1_000
  /// One turn in so many stops after any of its steps; 0: turns are whole.
  public var interruption = 0
  /// Mean time between faults that strike a whole component, ns.
  public var faultInterval: UInt64 = 50_000
  /// Mean time between moves of flow groups, ns; 0: none move.
  public var moveInterval: UInt64 = 0
  /// One in so many packets of a path is hit.
  public var packetFaults = 20

  public init(seed: UInt64) {
    self.seed = seed
    var random = SeededGenerator(seed: seed &* 0x1000_0001 &+ 17)
    drawFaults(&random)
    drawTopology(&random)
    drawReplication(&random)
    drawTimes(&random)
    drawMoves()
    drawGroupLoss()
  }

  /// From a generator of its own, as moves.
  private mutating func drawGroupLoss() {
    var random = SeededGenerator(seed: seed &* 0x1000_0007 &+ 43)
    // A unit that takes another's place asks egress what its slots have had, if a pair's replicas are both lost. Unit, replicas
    // and egress lost at once is what nothing covers: nobody knows.
    let unitsFail = faults.contains(.stamperCrash) || faults.contains(.stamperSuspicion)
    guard random.oneIn(3), !unitsFail || !faults.contains(.egressCrash) else { return }
    faults.set(.groupLoss, true)
    // Egress holds something when it strikes.
    if random.oneIn(2) {
      faults.set(.releaseLoss, true)
      faults.set(.releaseReordering, true)
    }
  }

  /// From a generator of its own, so that what moves nothing stays as it was.
  private mutating func drawMoves() {
    // Three pairs without moves: each flow a group, dealt out to the pairs in turn.
    if pairs == 3 { replication.flowGroups = 64 }
    var random = SeededGenerator(seed: seed &* 0x1000_0003 &+ 29)
    guard pairs > 1, !random.oneIn(4) else { return }
    moveInterval = UInt64(random.oneOf([10_000, 50_000, 200_000]))
    replication.flowGroups = random.oneOf([1, 2, 4, 16])
    replication.kept = random.oneOf(faults.contains(.smallRings) ? [4, 16] : [16, 64])
    // What former owners forward comes besides what is stamped.
    while replication.held < (2 * inputBuffer + replication.kept + replication.pending + replication.retained) * 4 / 3 + 1 {
      replication.held *= 2
    }
  }

  private mutating func drawFaults(_ random: inout SeededGenerator) {
    // One run in eight has none, one in four a single kind.
    let habit = random.below(8)
    for fault in FaultSet.drawn where habit > 2 && random.oneIn(habit < 6 ? 4 : 2) { faults.set(fault, true) }
    if habit == 1 || habit == 2 { faults.set(random.oneOf(FaultSet.drawn), true) }
    packetFaults = random.oneOf([3, 10, 30, 100])
    faultInterval = UInt64(random.oneOf([10_000, 40_000, 150_000]))
    interruption = random.oneOf([0, 2, 6])
  }

  private mutating func drawTopology(_ random: inout SeededGenerator) {
    units = random.oneOf([1, 1, 2, 3])
    pairs = random.oneOf([1, 1, 1, 2, 3])
    nodes = 3 + random.below(3)
    slotsPerUnit = random.oneOf([4, 8, 16, 16])
    keys = 1 + random.below(random.oneOf([3, 8, 24]))
    packets = 20 + random.below(random.oneOf([60, 200, 500]))
    burst = 1 + random.below(random.oneOf([2, 12, 32]))
    closesFlows = random.oneIn(3)
    dropsUnstamped = random.oneIn(3)
    sharesPackets = random.oneIn(2)
    function.dropBelow = random.oneOf([0, 0, 20, 128, 240, 256])
    function.dropsByState = random.oneIn(2)
    function.hasFirewall = random.oneIn(4)
  }

  private mutating func drawReplication(_ random: inout SeededGenerator) {
    var pair = ReplicationConfiguration(flowGroups: 4, kept: 64)
    pair.batch = random.oneOf([1, 2, 5, 1 + random.below(32), 32])
    pair.window = random.oneOf([1, 1 + random.below(6), 8])
    pair.dryWindow = 1 + random.below(pair.window)
    pair.flushInterval = UInt64(random.oneOf([1_000, 5_000, 30_000]))
    pair.stateClockPackets = random.oneOf([1, 1 + random.below(64), 256])
    pair.policy = random.oneIn(2) ? .hold : .release
    pair.acknowledgeTimeout = UInt64(random.oneOf([20_000, 50_000, 200_000]))
    pair.snapshotChunk = random.oneOf([1, 3, 16])
    pair.stateClockInterval = UInt64(random.oneOf([1_000, 10_000, 60_000]))
    let isTight = faults.contains(.smallRings)
    pair.pending = isTight ? random.oneOf([1, 2, 4, 8]) : random.oneOf([16, 64])
    pair.pendingPerFlow = min(pair.pending, random.oneOf([1, 2, 8, 32]))
    func powerOfTwo(_ least: Int) -> Int {
      var power = 1
      while power < least { power *= 2 }
      return power
    }
    pair.retained = powerOfTwo(2 * (pair.batch + pair.pendingPerFlow)) * random.oneOf(isTight ? [1] : [1, 2, 4])
    inputBuffer = isTight ? random.oneOf([2, 4, 8, 16]) : random.oneOf([32, 64])
    releaseRing = isTight ? random.oneOf([1, 4, 8]) : random.oneOf([32, 128])
    egressHold = isTight || random.oneIn(3) ? random.oneOf([1, 2, 8]) : random.oneOf([32, 64])
    inbox = isTight ? random.oneOf([1, 2]) : random.oneOf([4, 16])
    // All that can be stamped and not committed, a third more, or the copy that a vote waits for may find no room.
    pair.held = powerOfTwo((inputBuffer + pair.pending + pair.retained) * 4 / 3 + 1)
    // Sometimes just enough, so that the hold does fill.
    if isTight, pair.held / 4 * 3 > pair.pending + pair.retained {
      inputBuffer = max(inputBuffer, min(64, pair.held / 4 * 3 - pair.pending - pair.retained))
    }
    prepareLog = faults.contains(.smallLogs) ? 1 : 1 + random.below(4)
    commitLog = faults.contains(.smallLogs) ? 1 : 1 + random.below(4)
    let spare = faults.contains(.smallPool) ? 16 + pairs * random.below(2 * pair.retained) : 4096
    pool = spare + pairs * pair.repairReserve
    pair.gaps = random.oneOf(isTight ? [8] : [8, 32])
    pair.lostRanges = random.oneOf(isTight ? [1, 2] : [4, 16])
    pair.ambiguity = random.oneIn(2) ? .resend : .discard
    repairLog = random.oneOf(isTight ? [256, 512] : [1024, 4096])
    replication = pair
  }

  private mutating func drawTimes(_ random: inout SeededGenerator) {
    burstGap = UInt64(random.oneOf([200, 1_000, 4_000, 12_000])) * UInt64(burst)
    pathLatency = UInt64(random.oneOf([100, 1_000, 5_000]))
    controlLatency = UInt64(random.oneOf([1_000, 5_000, 20_000]))
    pollInterval = UInt64(random.oneOf([300, 1_000, 2_000]))
    replication.gapTimeout = 8 * pathLatency + UInt64(random.oneOf([10_000, 40_000]))
    replication.inputCapacity = 2 * inputBuffer
    idleTimeout = UInt64(random.oneOf([20_000, 100_000, 1_000_000]))
  }

  /// Time in which something must have happened once nothing fails any more.
  var patience: UInt64 {
    let slowest = max(replication.flushInterval, replication.stateClockInterval, idleTimeout / 4)
    let fastest = pathLatency * 8 + controlLatency * 8 + pollInterval * 16 + burstGap * 16
    return 20 * (slowest + 8 * replication.gapTimeout + fastest)
  }
}

extension SimulationOptions: CustomStringConvertible {
  public var description: String {
    let pair = replication
    return """
      faults: \(faults.list.isEmpty ? "none" : faults.list.map(\.name).joined(separator: ",")); \
      1 in \(packetFaults) packets, one strike in \(faultInterval) ns
      \(units) units, \(pairs) pairs, \(nodes) nodes, \(slotsPerUnit) slots a unit, \(keys) connections, \(packets) packets, \
      bursts of \(burst) in \(burstGap) ns, idle \(idleTimeout) ns\(closesFlows ? ", flows closed at the end" : "")\
      \(dropsUnstamped ? ", drops unstamped" : "")\(sharesPackets ? ", packets shared" : "")
      NF drops below \(function.dropBelow)\(function.dropsByState ? " and by state" : "")\
      \(function.hasFirewall ? ", firewall" : "")
      batch \(pair.batch), window \(pair.window), dry \(pair.dryWindow), flush \(pair.flushInterval) ns, state clock \
      \(pair.stateClockPackets) packets or \(pair.stateClockInterval) ns, retained \(pair.retained), held \(pair.held), \
      pending \(pair.pending), \(pair.pendingPerFlow) a flow
      input \(inputBuffer), release ring \(releaseRing), egress hold \(egressHold), logs \(prepareLog) and \(commitLog), \
      inbox \(inbox), pool \(pool); path \(pathLatency) ns, control \(controlLatency) ns, poll \(pollInterval) ns, \
      interruption \(interruption)
      """
  }
}
