import CDPDK
import DEFTCore
import DEFTMailbox
import DEFTWire

// Planned failures of both replicas of a pair at once: their states are lost, and said to be.
//
// | after | what follows |
// |---|---|
// | crash | the replicas run no more; their connection is cut |
// | `detection` | the pair has no credit: what it would get is not stamped (R17) |
// | | the map: the secondary, which is dead too; then a new host, with one loss more; what the dead had is given back |
// | halted | the stamping units end the generations of the pair's flows, in pieces; what was released has been let out |
// | ended | the new primary gets the units' floors, egress what the new primary tells it (`PrimaryReplica+Restart.swift`) |
// | told | the pair has credit again; then a second new host is brought in sync, as after any failure |
extension ChangeDirector {
  func carryOutLoss(
    _ failure: PlannedFailure, arenas: (primary: TableArena, secondary: TableArena), next: UInt64
  ) throws {
    let pair = failure.pair
    var record = FailureRecord(failure: failure)
    let latenciesBefore = latencies()
    let crashed = clock.now()
    let dead = pipeline.present[pair]
    let stages = crash([dead.primary, dead.secondary], ofPair: pair, at: crashed, next: next)

    let host = nextHost[pair]
    nextHost[pair] += 1
    try propose(.primaryFailed(), pair: pair, ifEpoch: map[pair].epoch)
    let replacement = MapTransition.primaryFailed(replacement: NodeID(UInt16(host)))
    try propose(replacement, pair: pair, ifEpoch: map[pair].epoch)
    pipeline.present[pair].primary = host
    onStampers { [self] in
      for (unit, stamper) in pipeline.stampers.enumerated() {
        stamper.pointee.fabric.halt(pair, true)
        stamper.pointee.fabric.assign(
          pair, primary: pipeline.path(unit: unit, pair: pair, host: host, toPrimary: true), secondary: nil)
      }
    }
    abandon(stages, ofPair: pair)
    let primary = restartedPrimary(pair: pair, host: host, arena: arenas.primary)
    try endGenerations(ofPair: pair, primary, host: host, &record)
    try tellEgress(ofPair: pair, primary, host: host)
    onStampers { [self] in
      for stamper in pipeline.stampers { stamper.pointee.fabric.halt(pair, false) }
    }
    try bringUpSecondary(pair: pair, arena: arenas.secondary, record: &record)
    finish(&record, ofPair: pair, crashed: crashed, latenciesBefore)
  }

  private typealias Primary = UnsafeMutablePointer<PrimaryStage<Function>>

  /// In a new host's seat, with nothing.
  private func restartedPrimary(pair: Int, host: Int, arena: TableArena) -> Primary {
    var replication = pipeline.replication(ofPair: pair)
    replication.epoch = map[pair].epoch
    // Nothing comes from these, or is written to them, before the sync brings others.
    let idle = links.mailbox(pair: pair, primaryHost: host, secondaryHost: nextHost[pair])
    var replica = PrimaryReplica<Function, MbufStorage, MessageProducer>(
      function: pipeline.function, configuration: replication, layout: pipeline.layout,
      prepares: MessageProducer(idle.prepares, retaining: true), commits: MessageProducer(idle.commits, retaining: true),
      closeCapacity: pipeline.closeCapacity, hasSecondary: false, memory: arena.memory())
    replica.restart(units: pipeline.configuration.stampers, egressTerm: map[pair].egressTerm)
    let primary = pipeline.makePrimary(replica, pair: pair, host: host, mailbox: idle)
    primary.pointee.isChanging = true
    let seat = pipeline.seats[pair][host]
    onLcore(pair: pair, host: host) { seat.pointee.primary = primary }
    return primary
  }

  /// Slots that a stamping unit looks at between two of its bursts.
  private static var piece: Int { 2048 }

  private func endGenerations(
    ofPair pair: Int, _ primary: Primary, host: Int, _ record: inout FailureRecord
  ) throws {
    // What the dead had handed to egress has left their hosts.
    let releases = pipeline.rings.hosts[pair].compactMap(\.releases)
    guard wait(until: { releases.allSatisfy { cd_ring_count($0) == 0 } }) else {
      throw ChangeStepError(text: "egress does not take what was released before")
    }
    for (unit, stamper) in pipeline.stampers.enumerated() {
      var restart = UnitRestart(epoch: map[pair].epoch)
      while restart.phase == .ending {
        var ended: [ClockEntry] = []
        onStampers {
          stamper.pointee.endGenerations(&restart, pair: pair, limit: Self.piece) { ended.append($0) }
        }
        var lost: UInt64 = 0
        onEgress { [self] in
          let egress = pipeline.egress
          for entry in ended { lost += egress.pointee.lostCount(entry) }
        }
        record.restartedFlows += UInt64(ended.count)
        record.lostPackets += lost
      }
      while restart.phase == .telling {
        var floors: [UInt32] = []
        onStampers { stamper.pointee.tellFloors(&restart, pair: pair, limit: Self.piece) { floors.append($0) } }
        onLcore(pair: pair, host: host) { for floor in floors { primary.pointee.replica.takeFloor(floor) } }
      }
      onLcore(pair: pair, host: host) { primary.pointee.replica.floorsAreTold(by: unit) }
    }
  }

  private func tellEgress(ofPair pair: Int, _ primary: Primary, host: Int) throws {
    let capacity = Self.piece
    let entries = UnsafeMutablePointer<EgressEntry>.allocate(capacity: capacity)
    defer { entries.deallocate() }
    var (count, isComplete) = (0, false)
    while !isComplete {
      onLcore(pair: pair, host: host) { [self] in
        let step = primary.pointee.replica.tellEgress(into: entries, capacity: capacity, now: clock.now())
        (count, isComplete) = (step.count, step.isComplete)
      }
      guard count > 0 || isComplete else { throw ChangeStepError(text: "the new primary does not begin") }
      onEgress { [self] in
        let egress = pipeline.egress
        for index in 0..<count { egress.pointee.begin(entries[index]) }
      }
    }
    let term = map[pair].egressTerm
    onLcore(pair: pair, host: host) { primary.pointee.replica.egressTold(term: term, byThis: true) }
  }
}
