import CDPDK
import DEFTCore
import DEFTMailbox

// Planned failures.
//
// | after | primary failed | secondary failed |
// |---|---|---|
// | crash | the replica runs no more; its connection is cut | same |
// | `detection` | rule: the secondary's host alone | rule: the primary alone |
// | | the dead replica's buffers are given back | same |
// | | takeover (paper, VI-A), once the last copies are in | the primary learns it |
// | sync | a new host gets copies, then a snapshot (R9) | same |
// | in sync | the map says so; both replicas learn it | same |
extension ChangeDirector {
  func carryOut(
    _ failure: PlannedFailure, arenas: (primary: TableArena, secondary: TableArena), next: UInt64
  ) throws {
    let pair = failure.pair
    var record = FailureRecord(failure: failure)
    let latenciesBefore = latencies()
    let crashed = clock.now()
    let dead = failure.victim == .primary ? pipeline.present[pair].primary : pipeline.present[pair].secondary
    let stages = crash([dead], ofPair: pair, at: crashed, next: next)

    // The map decides; then the rule, the dead replica's buffers, and the survivor.
    let before = map[pair].epoch
    let transition: MapTransition = failure.victim == .primary ? .primaryFailed() : .secondaryFailed
    try propose(transition, pair: pair, ifEpoch: before)
    let survivor = failure.victim == .primary ? pipeline.present[pair].secondary : pipeline.present[pair].primary
    pipeline.present[pair].primary = survivor
    onStampers { [self] in
      for (unit, stamper) in pipeline.stampers.enumerated() {
        stamper.pointee.fabric.assign(
          pair, primary: pipeline.path(unit: unit, pair: pair, host: survivor, toPrimary: true), secondary: nil)
      }
    }
    abandon(stages, ofPair: pair)
    let epoch = map[pair].epoch
    if failure.victim == .primary {
      record.copies = takeOver(pair: pair, host: survivor, epoch: epoch, arena: arenas.primary, record: &record)
      settleCloses(pair: pair, host: survivor)
    } else {
      let primary = pipeline.seats[pair][survivor].pointee.primary!
      onLcore(pair: pair, host: survivor) { primary.pointee.replica.secondaryFailed(epoch: epoch) }
    }
    try bringUpSecondary(pair: pair, arena: arenas.secondary, record: &record)
    finish(&record, ofPair: pair, crashed: crashed, latenciesBefore)
  }

  // MARK: what every failure has

  /// What a host that failed had of the pair.
  typealias DeadStages = (
    host: Int, primary: UnsafeMutablePointer<PrimaryStage<Function>>?,
    secondary: UnsafeMutablePointer<SecondaryStage<Function.State>>?
  )

  /// The replicas run no more, and their connection is cut. Returns when that has been noticed.
  func crash(_ hosts: [Int], ofPair pair: Int, at crashed: UInt64, next: UInt64) -> [DeadStages] {
    let stages = hosts.map { host -> DeadStages in
      let seat = pipeline.seats[pair][host]
      let dead = (host, seat.pointee.primary, seat.pointee.secondary)
      onLcore(pair: pair, host: host) {
        seat.pointee.primary = nil
        seat.pointee.secondary = nil
      }
      return dead
    }
    links.cut(pair: pair)
    gate.open(until: next)
    let passed = clock.now() &- crashed
    if passed < pipeline.configuration.detection { cd_sleep_us(UInt32((pipeline.configuration.detection - passed) / 1000)) }
    return stages
  }

  /// What the dead had is given back.
  func abandon(_ stages: [DeadStages], ofPair pair: Int) {
    for (host, primary, secondary) in stages {
      onLcore(pair: pair, host: host) {
        primary?.pointee.abandon()
        secondary?.pointee.abandon()
      }
    }
  }

  /// The pair has two replicas again.
  func finish(_ record: inout FailureRecord, ofPair pair: Int, crashed: UInt64, _ latenciesBefore: [UInt64]) {
    reroute(pair)
    record.epoch = map[pair].epoch
    record.unprotected = clock.now() &- crashed
    record.longestLatency = LatencyHistogram.longest(from: latenciesBefore, to: latencies())
    failures.withLock { [record] in $0.append(record) }
  }

  func propose(_ transition: MapTransition, pair: Int, ifEpoch epoch: UInt32) throws {
    if case .refused(let reason) = map.propose(transition, pair: pair, ifEpoch: epoch) {
      throw ChangeStepError(text: "the map refused it: \(reason)")
    }
  }

  /// The secondary becomes the primary. Returns how many copies it had to look at.
  private func takeOver(pair: Int, host: Int, epoch: UInt32, arena: TableArena, record: inout FailureRecord) -> Int {
    let seat = pipeline.seats[pair][host]
    let secondary = seat.pointee.secondary!
    let began = clock.now()
    // Nothing comes from these, or is written to them, before the sync brings others.
    let idle = links.mailbox(pair: pair, primaryHost: host, secondaryHost: nextHost[pair])
    var copies = 0
    onLcore(pair: pair, host: host) { [self] in
      secondary.pointee.takeRemainingCopies()
      copies = secondary.pointee.replica.heldCount
      secondary.pointee.addReferenceToHeld()
      let replica = PrimaryReplica<Function, MbufStorage, MessageProducer>(
        takingOver: secondary.pointee.giveUpReplica(), epoch: epoch, function: pipeline.function,
        prepares: MessageProducer(idle.prepares, retaining: true), commits: MessageProducer(idle.commits, retaining: true),
        closeCapacity: pipeline.closeCapacity, memory: arena.memory())
      let primary = pipeline.makePrimary(replica, pair: pair, host: host, mailbox: idle)
      primary.pointee.isChanging = true
      primary.pointee.routes = pipeline.makeRoutes(pair: pair, host: host, map)
      learnGroups { primary.pointee.learn($0, group: $1) }
      seat.pointee.secondary = nil
      seat.pointee.primary = primary
    }
    let primary = seat.pointee.primary!
    _ = wait { primary.pointee.replica.hasReplayedVoted }
    record.takeover = clock.now() &- began
    return copies
  }

  /// The dead primary may have died before it told the stamping units of closes that were committed (R16).
  private func settleCloses(pair: Int, host: Int) {
    var closing: [UInt32] = []
    onStampers { [self] in
      for stamper in pipeline.stampers { closing += stamper.pointee.closingFlows(ofPair: pair) }
    }
    let primary = pipeline.seats[pair][host].pointee.primary!
    onLcore(pair: pair, host: host) {
      for flowID in closing where primary.pointee.replica.isCloseCommitted(flowID) { primary.pointee.returnSlot(flowID) }
    }
  }

  /// A new host gets copies of all that is stamped from now on, and a snapshot of all before.
  func bringUpSecondary(pair: Int, arena: TableArena, record: inout FailureRecord) throws {
    let (survivor, newcomer) = (pipeline.present[pair].primary, nextHost[pair])
    nextHost[pair] += 1
    pipeline.present[pair].secondary = newcomer
    let primary = pipeline.seats[pair][survivor].pointee.primary!
    guard wait(until: { primary.pointee.replica.maySync }) else {
      throw ChangeStepError(text: "what was voted for could not be processed again")
    }
    try propose(.secondaryAdded(NodeID(UInt16(newcomer))), pair: pair, ifEpoch: map[pair].epoch)
    let epoch = map[pair].epoch
    let mailbox = links.mailbox(pair: pair, primaryHost: survivor, secondaryHost: newcomer)
    var replication = pipeline.replication(ofPair: pair)
    replication.epoch = epoch
    let replica = SecondaryReplica<Function.State, MbufStorage>(
      initialState: Function.initialState, configuration: replication, layout: pipeline.layout, isSyncing: true,
      memory: arena.memory())
    let secondary = pipeline.makeSecondary(replica, pair: pair, host: newcomer, mailbox: mailbox)
    secondary.pointee.isSyncing = true
    secondary.pointee.routes = pipeline.makeRoutes(pair: pair, host: newcomer, map)
    learnGroups { secondary.pointee.learn($0, group: $1) }
    let seat = pipeline.seats[pair][newcomer]
    let latenciesBefore = latencies()
    onLcore(pair: pair, host: newcomer) { seat.pointee.secondary = secondary }
    // Batches fill the window within a fraction of a millisecond, and then packets wait for a vote: the two should be able
    // to speak before the first one.
    try links.join(mailbox, primaryHost: survivor, secondaryHost: newcomer, epoch: epoch)
    guard wait(until: { self.links.isJoined(pair: pair, primaryHost: survivor) }) else {
      throw ChangeStepError(text: "the primary cannot reach the new secondary's node")
    }
    onLcore(pair: pair, host: survivor) { [self] in
      primary.pointee.beginSync(epoch: epoch, mailbox: mailbox, now: clock.now())
    }
    onStampers { [self] in
      for (unit, stamper) in pipeline.stampers.enumerated() {
        stamper.pointee.fabric.assign(
          pair, primary: pipeline.path(unit: unit, pair: pair, host: survivor, toPrimary: true),
          secondary: pipeline.path(unit: unit, pair: pair, host: newcomer, toPrimary: false))
      }
    }
    // What was stamped before the rule changed lies in the primary's rings; once it has taken as much as lies there now, it
    // has all of it.
    onLcore(pair: pair, host: survivor) { primary.pointee.markDrain() }
    guard wait(until: { primary.pointee.replica.isSyncComplete }) else {
      throw ChangeStepError(text: "the new secondary is not in sync")
    }
    try propose(.syncFinished, pair: pair, ifEpoch: epoch)
    onLcore(pair: pair, host: newcomer) {
      secondary.pointee.replica.becomeInSync()
      secondary.pointee.isSyncing = false
    }
    onLcore(pair: pair, host: survivor) {
      primary.pointee.replica.becomeProtected()
      primary.pointee.isChanging = false
    }
    record.longestSyncLatency = LatencyHistogram.longest(from: latenciesBefore, to: latencies())
  }
}
