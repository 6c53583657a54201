import CDPDK
import DEFTCore
import DEFTMailbox
import DEFTWire
import Synchronization

/// A pair's secondary on an lcore: the protocol's `SecondaryReplica` between its rings.
@usableFromInline
struct SecondaryStage<State: BitwiseCopyable & Sendable>: ~Copyable {
  /// More than comes in in a round.
  @usableFromInline static var freeBurst: Int { 128 }
  /// Messages read in one poll, so that a long state clock does not delay the copies for long.
  @usableFromInline static var messageBurst: Int { 8 }

  @usableFromInline var replica: SecondaryReplica<State, MbufStorage>
  @usableFromInline let inputs: UnsafeMutablePointer<OpaquePointer>
  @usableFromInline let inputCount: Int
  /// Packets that wait for their turn here; read by the switch.
  @usableFromInline let waiting: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline var toldWaiting = 0
  @usableFromInline var messages: MessageConsumer
  @usableFromInline var votes: MessageProducer
  @usableFromInline let repaired: RepairedPackets
  @usableFromInline let repairUnwanted: UnsafeMutablePointer<Packet>
  /// Where moved groups' packets go; nil without planned migrations.
  @usableFromInline var routes: UnsafeMutablePointer<ForwardRoutes>?
  /// Taken from the inputs.
  @usableFromInline var takenTotal: UInt64 = 0
  @usableFromInline let doorbell: Doorbell
  @usableFromInline let isShared: Bool
  /// What the primary was last told.
  @usableFromInline var toldVoted: UInt64 = 0
  @usableFromInline var toldApplied: UInt64 = 0
  /// What the doorbell was told last.
  @usableFromInline var wasLoaded = false
  /// It is getting a snapshot.
  @usableFromInline var isSyncing = false

  @usableFromInline let packets: UnsafeMutablePointer<Packet>
  @usableFromInline let unwanted: UnsafeMutablePointer<Packet>
  @usableFromInline let freed: UnsafeMutablePointer<Packet>

  init(
    replica: consuming SecondaryReplica<State, MbufStorage>, inputs: [OpaquePointer],
    waiting: UnsafeMutablePointer<Atomic<UInt64>>, messages: consuming MessageConsumer,
    votes: consuming MessageProducer, repaired: RepairedPackets, doorbell: Doorbell, isShared: Bool
  ) {
    self.replica = replica
    inputCount = inputs.count
    self.inputs = .allocate(capacity: inputs.count)
    self.inputs.initialize(from: inputs, count: inputs.count)
    self.waiting = waiting
    waiting.pointee.store(0, ordering: .relaxed)
    self.messages = messages
    self.votes = votes
    self.repaired = repaired
    repairUnwanted = .allocate(capacity: ReplicationConfiguration.repairBurst)
    self.doorbell = doorbell
    self.isShared = isShared
    packets = .allocate(capacity: StamperStage.burst)
    unwanted = .allocate(capacity: StamperStage.burst)
    freed = .allocate(capacity: Self.freeBurst)
  }

  /// Moves what can be moved. Returns how many packets or messages it moved.
  @inlinable @inline(__always)
  mutating func poll(now: UInt64) -> Int {
    var moved = 0
    for input in 0..<inputCount {
      let room = min(StamperStage.burst, replica.room)
      guard room > 0 else { break }
      let count = Int(cd_ring_dequeue(inputs[input], handles(packets), UInt32(room)))
      guard count > 0 else { continue }
      let refused = replica.hold(packets, count: count, unwanted: unwanted)
      if refused > 0 { cd_release(handles(unwanted), UInt32(refused), 1, isShared) }
      moved &+= count
    }
    let inputIsDry = moved == 0
    takenTotal &+= UInt64(truncatingIfNeeded: moved)
    if _slowPath(replica.isMigrating) { moved &+= migrate() }
    var messageCount = 0
    while messageCount < Self.messageBurst, let message = messages.next() {
      let repaired = repaired
      replica.receive(message, make: { repaired.make($0, $1, $2) })
      messages.consume(message)
      messageCount &+= 1
    }
    moved &+= messageCount
    if _slowPath(replica.pendingCount != toldWaiting) { tellWaiting() }
    if _slowPath(now >= replica.nextRepair) { repair(now: now, inputIsDry: inputIsDry) }
    _ = replica.vote()
    if replica.votedBatch != toldVoted || replica.appliedBatch != toldApplied { moved &+= tell() }
    if _slowPath(isSyncing), replica.syncedIsDue { moved &+= tellSynced() }
    let count = replica.takeFreed(into: freed, capacity: Self.freeBurst)
    if count > 0 { cd_release(handles(freed), UInt32(count), 1, isShared) }
    return moved &+ count
  }

  /// R8: copies of groups that are another pair's, or this one's again.
  @inline(never) @usableFromInline
  mutating func migrate() -> Int {
    guard let routes else { return 0 }
    let refused = replica.thaw(unwanted: unwanted, capacity: StamperStage.burst)
    if refused > 0 { cd_release(handles(unwanted), UInt32(refused), 1, isShared) }
    return refused &+ routes.pointee.forward(references: 1) { replica.takeForwarded(into: $0, capacity: $1) }
  }

  /// `takenTotal` when all that lies in the inputs now has been taken.
  var inputMark: UInt64 {
    var waiting = 0
    for input in 0..<inputCount { waiting += Int(cd_ring_count(inputs[input])) }
    return takenTotal &+ UInt64(waiting)
  }

  /// The map's word about a flow group.
  mutating func learn(_ assignment: GroupAssignment, group: Int) {
    routes?.pointee.owners[group] = UInt16(assignment.pair)
    replica.learn(assignment, group: group)
  }

  @inline(never) @usableFromInline
  mutating func tellWaiting() {
    toldWaiting = replica.pendingCount
    waiting.pointee.store(UInt64(toldWaiting), ordering: .relaxed)
  }

  /// News of the snapshot, by the way of the votes.
  @inline(never) @usableFromInline
  mutating func tellSynced() -> Int {
    guard let message = votes.reserve(ControlMessageHeader.byteCount) else { return 0 }
    replica.writeSynced(to: message)
    votes.publish(through: votes.append(ControlMessageHeader.byteCount))
    doorbell.ring()
    return 1
  }

  // MARK: orders, carried out between two polls

  /// Before a takeover: everything that was sent to this secondary is held.
  mutating func takeRemainingCopies() {
    for input in 0..<inputCount {
      while replica.room > 0 {
        let limit = UInt32(min(StamperStage.burst, replica.room))
        let count = Int(cd_ring_dequeue(inputs[input], handles(packets), limit))
        guard count > 0 else { break }
        let refused = replica.hold(packets, count: count, unwanted: unwanted)
        if refused > 0 { cd_release(handles(unwanted), UInt32(refused), 1, isShared) }
      }
    }
  }

  /// Before a takeover: a primary's packets have egress's reference besides its own.
  func addReferenceToHeld() {
    let isShared = isShared
    replica.forEachHeld { packet in
      var packet = packet
      withUnsafeMutablePointer(to: &packet) { cd_retain(handles($0), 1, isShared) }
    }
  }

  /// The replica, for the primary that it becomes. The stage is not polled any more; its counters stay readable.
  mutating func giveUpReplica() -> SecondaryReplica<State, MbufStorage> {
    withUnsafeMutablePointer(to: &replica) { $0.move() }
  }

  /// Of a replica that is dead: gives back what its host's memory held.
  mutating func abandon() {
    for input in 0..<inputCount {
      while true {
        let count = Int(cd_ring_dequeue(inputs[input], handles(packets), UInt32(StamperStage.burst)))
        guard count > 0 else { break }
        cd_release(handles(packets), UInt32(count), 1, isShared)
      }
    }
    while true {
      let count = replica.takeAbandoned(into: freed, capacity: Self.freeBurst)
      guard count > 0 else { return }
      cd_release(handles(freed), UInt32(count), 1, isShared)
    }
  }

  /// Once per half a `gapTimeout`, or when the primary has asked for something or sent it.
  @inline(never) @usableFromInline
  mutating func repair(now: UInt64, inputIsDry: Bool) {
    let outcome = replica.repairGaps(now: now, inputIsDry: inputIsDry, into: &votes, unwanted: repairUnwanted)
    if outcome.hasMail { doorbell.ring() }
    if outcome.unwanted > 0 { cd_release(handles(repairUnwanted), UInt32(outcome.unwanted), 1, isShared) }
  }

  /// Sends one cumulative vote; tried again at the next poll if the mailbox is full.
  @inline(never) @usableFromInline
  mutating func tell() -> Int {
    let length = ControlMessageHeader.byteCount + 8
    guard let message = votes.reserve(length) else { return 0 }
    ControlMessageHeader(
      kind: .vote, pair: replica.configuration.pair, epoch: replica.configuration.epoch, batch: replica.votedBatch,
      length: length
    ).write(to: message)
    (message + ControlMessageHeader.byteCount).storeBytes(of: replica.appliedBatch.littleEndian, as: UInt64.self)
    votes.publish(through: votes.append(length))
    toldVoted = replica.votedBatch
    toldApplied = replica.appliedBatch
    let isLoaded = replica.promptBatch < replica.votedBatch
    if isLoaded != wasLoaded {
      doorbell.setLoaded(isLoaded)
      wasLoaded = isLoaded
    }
    doorbell.ring()
    return 1
  }
}
