import CDPDK
import DEFTCore
import DEFTMailbox
import DEFTWire
import Synchronization

/// A pair's primary on an lcore: the protocol's `PrimaryReplica` between its rings.
///
/// ```
///  switch ─► inputs ─► PrimaryReplica ─► releases ─► egress
///                        │      ▲
///                prepares, commits   votes          (mailbox rings ⇄ control thread)
/// ```
@usableFromInline
struct PrimaryStage<Function: NetworkFunction>: ~Copyable {
  /// Bursts taken from each input in a poll, and packets released and freed: more than a stamping unit sends in a round, or what
  /// once queued up would stay.
  @usableFromInline static var takeBursts: Int { 2 }
  @usableFromInline static var releaseBurst: Int { 128 }

  @usableFromInline var replica: PrimaryReplica<Function, MbufStorage, MessageProducer>
  /// From each stamping unit.
  @usableFromInline let inputs: UnsafeMutablePointer<OpaquePointer>
  @usableFromInline let inputCount: Int
  @usableFromInline var nextInput = 0
  @usableFromInline let releases: OpaquePointer
  /// Committed closes, to each stamping unit.
  @usableFromInline let closeRings: UnsafeMutablePointer<OpaquePointer>
  @usableFromInline let layout: FlowIDLayout
  /// Packets that egress has dealt with, cumulative; written by egress.
  @usableFromInline let acknowledged: UnsafeMutablePointer<Atomic<UInt64>>
  /// Packets that wait for their turn here; read by the switch.
  @usableFromInline let waiting: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline var toldWaiting = 0
  @usableFromInline var votes: MessageConsumer
  @usableFromInline var doorbell: Doorbell
  /// Gap repair's messages to the secondary.
  @usableFromInline var repairs: MessageProducer
  @usableFromInline let repaired: RepairedPackets
  @usableFromInline let repairUnwanted: UnsafeMutablePointer<Packet>
  /// Where moved groups' packets go, and the ways to other pairs' primaries; nil and none without planned migrations.
  @usableFromInline var routes: UnsafeMutablePointer<ForwardRoutes>?
  @usableFromInline let moveLinks: UnsafeMutablePointer<MoveLink>
  @usableFromInline var moveLinkCount = 0
  @usableFromInline let moveLinkCapacity: Int
  /// From former owners of its groups (R8).
  @usableFromInline let forwards: UnsafeMutablePointer<OpaquePointer>
  @usableFromInline let forwardCount: Int
  /// Something was written for the control thread since it was last rung for.
  @usableFromInline var hasMail = false
  /// What the doorbell was told last.
  @usableFromInline var wasLoaded = false
  /// A takeover or a sync is under way: then there is more to do in a poll.
  @usableFromInline var isChanging = false
  /// Packets taken from the inputs, and how many that will be when all that lay there at the rule change has been taken.
  @usableFromInline var takenTotal: UInt64 = 0
  @usableFromInline var drainTarget: UInt64?
  /// Holders run on other lcores too: references are counted atomically.
  @usableFromInline let isShared: Bool
  @usableFromInline let counters: UnsafeMutablePointer<LcoreCounters>

  @usableFromInline let packets: UnsafeMutablePointer<Packet>
  @usableFromInline let unwanted: UnsafeMutablePointer<Packet>
  @usableFromInline let outgoing: UnsafeMutablePointer<Packet>
  @usableFromInline let freedPassed: UnsafeMutablePointer<Packet>
  @usableFromInline let freedDropped: UnsafeMutablePointer<Packet>

  init(
    replica: consuming PrimaryReplica<Function, MbufStorage, MessageProducer>, inputs: [OpaquePointer],
    forwards: [OpaquePointer],
    releases: OpaquePointer, closeRings: [OpaquePointer], layout: FlowIDLayout,
    acknowledged: UnsafeMutablePointer<Atomic<UInt64>>,
    waiting: UnsafeMutablePointer<Atomic<UInt64>>, votes: consuming MessageConsumer,
    repairs: consuming MessageProducer, repaired: RepairedPackets, doorbell: Doorbell, moveLinks: Int, isShared: Bool,
    counters: UnsafeMutablePointer<LcoreCounters>
  ) {
    moveLinkCapacity = moveLinks
    self.moveLinks = .allocate(capacity: moveLinks)
    self.replica = replica
    inputCount = inputs.count
    self.inputs = .allocate(capacity: inputs.count)
    self.inputs.initialize(from: inputs, count: inputs.count)
    forwardCount = forwards.count
    self.forwards = .allocate(capacity: forwards.count)
    self.forwards.initialize(from: forwards, count: forwards.count)
    self.releases = releases
    self.closeRings = .allocate(capacity: closeRings.count)
    self.closeRings.initialize(from: closeRings, count: closeRings.count)
    self.layout = layout
    self.acknowledged = acknowledged
    self.waiting = waiting
    waiting.pointee.store(0, ordering: .relaxed)
    self.votes = votes
    self.repairs = repairs
    self.repaired = repaired
    repairUnwanted = .allocate(capacity: ReplicationConfiguration.repairBurst)
    self.doorbell = doorbell
    self.isShared = isShared
    self.counters = counters
    packets = .allocate(capacity: StamperStage.burst)
    unwanted = .allocate(capacity: StamperStage.burst)
    outgoing = .allocate(capacity: Self.releaseBurst)
    freedPassed = .allocate(capacity: Self.releaseBurst)
    freedDropped = .allocate(capacity: Self.releaseBurst)
  }

  /// Moves what can be moved. Returns how many packets or messages it moved.
  @inlinable @inline(__always)
  mutating func poll(now: UInt64) -> Int {
    var moved = 0
    while let message = votes.next() {
      let repaired = repaired
      if replica.receive(message, make: { repaired.make($0, $1, $2) }) { hasMail = true }
      votes.consume(message)
      moved &+= 1
    }
    if replica.acknowledged(acknowledged.pointee.load(ordering: .acquiring)) { hasMail = true }
    moved &+= release()
    moved &+= free()
    if _slowPath(isChanging) { moved &+= change(now: now) }
    if _slowPath(routes != nil) { moved &+= migrate(now: now) }
    var (taken, isDry) = take(now: now)
    moved &+= taken
    if _slowPath(forwardCount > 0), isDry { isDry = areForwardsDry }
    if _slowPath(replica.pendingCount != toldWaiting) { tellWaiting() }
    if _slowPath(now >= replica.nextRepair) { repair(now: now, inputIsDry: isDry) }
    if replica.closeBatchIfDue(inputIsDry: isDry, now: now) {
      hasMail = true
      moved &+= 1
    }
    if hasMail {
      hasMail = false
      let isLoaded = !replica.isLightlyLoaded
      if isLoaded != wasLoaded {
        doorbell.setLoaded(isLoaded)
        wasLoaded = isLoaded
      }
      doorbell.ring()
    }
    return moved
  }

  /// R8, R11: what moving groups need, states of theirs and packets on their way.
  @inline(never) @usableFromInline
  mutating func migrate(now: UInt64) -> Int {
    var moved = 0
    for place in 0..<moveLinkCount {
      while let message = moveLinks[place].incoming.next() {
        replica.receiveMove(message)
        moveLinks[place].incoming.consume(message)
        hasMail = true
        moved &+= 1
      }
    }
    let processedBefore = replica.counters.processed
    moved &+= takeForwards(now: now)
    counters.pointee.processed &+= replica.counters.processed &- processedBefore
    guard replica.isMigrating, let routes else { return moved }
    let thawedBefore = replica.counters.processed
    let refused = replica.thaw(unwanted: unwanted, capacity: StamperStage.burst, now: now)
    counters.pointee.processed &+= replica.counters.processed &- thawedBefore
    if refused > 0 { cd_release(handles(unwanted), UInt32(refused), 2, isShared) }
    moved &+= refused
    moved &+= routes.pointee.forward(references: 2) { replica.takeForwarded(into: $0, capacity: $1) }
    for place in 0..<moveLinkCount {
      let peer = moveLinks[place].peer
      if replica.continueMoves(to: peer, now: now, into: &moveLinks[place].outgoing) { moved &+= 1 }
      let answer = replica.answerMoves(to: peer, into: &moveLinks[place].outgoing)
      if answer.toSecondary { hasMail = true }
      if answer.toSource { moved &+= 1 }
    }
    return moved
  }

  /// These have rings of their own and do not wait for what the input waits for: two pairs that move groups crosswise would wait
  /// for each other.
  private mutating func takeForwards(now: UInt64) -> Int {
    var taken = 0
    for place in 0..<forwardCount {
      let room = min(StamperStage.burst, replica.forwardedRoom)
      guard room > 0 else { break }
      let count = Int(cd_ring_dequeue(forwards[place], handles(packets), UInt32(room)))
      guard count > 0 else { continue }
      let refused = replica.processForwarded(packets, count: count, unwanted: unwanted, now: now)
      if refused > 0 { cd_release(handles(unwanted), UInt32(refused), 2, isShared) }
      taken &+= count
    }
    return taken
  }

  @inline(never) @usableFromInline
  var areForwardsDry: Bool {
    for place in 0..<forwardCount where cd_ring_count(forwards[place]) > 0 { return false }
    return true
  }

  @inline(never) @usableFromInline
  mutating func tellWaiting() {
    toldWaiting = replica.pendingCount
    waiting.pointee.store(UInt64(toldWaiting), ordering: .relaxed)
  }

  /// Feeds the copies that were taken over, goes on with the snapshot for a new secondary.
  @inline(never) @usableFromInline
  mutating func change(now: UInt64) -> Int {
    var moved = 0
    if replica.backlogCount > 0 || !replica.hasReplayedVoted {
      let before = replica.counters.replayed
      let processedBefore = replica.counters.processed
      let refused = replica.replay(unwanted: unwanted, capacity: StamperStage.burst, now: now)
      if refused > 0 { cd_release(handles(unwanted), UInt32(refused), 2, isShared) }
      counters.pointee.processed &+= replica.counters.processed &- processedBefore
      moved &+= refused &+ Int(replica.counters.replayed &- before)
    }
    if let target = drainTarget, takenTotal >= target {
      replica.drained()
      drainTarget = nil
    }
    if replica.continueSync(now: now) {
      hasMail = true
      moved &+= 1
    }
    return moved
  }

  // MARK: orders, carried out between two polls

  /// A new secondary gets a snapshot through `mailbox`.
  mutating func beginSync(epoch: UInt32, mailbox: PairMailbox, now: UInt64) {
    replica.beginSync(
      epoch: epoch, prepares: MessageProducer(mailbox.prepares, retaining: true),
      commits: MessageProducer(mailbox.commits, retaining: true), now: now)
    votes = MessageConsumer(mailbox.votesIn)
    repairs = MessageProducer(mailbox.repairs, retaining: false)
    doorbell = mailbox.primaryDoorbell
    wasLoaded = false
    isChanging = true
  }

  /// The switch sends copies to the new secondary from now on: what lies in the inputs is the last it has none of.
  mutating func markDrain() { drainTarget = inputMark }

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
    hasMail = true
  }

  /// The way to another pair's primary; the one there was to that pair is forgotten.
  mutating func setLink(_ link: consuming MoveLink) {
    let peer = link.peer
    if let place = (0..<moveLinkCount).first(where: { moveLinks[$0].peer == peer }) {
      moveLinks[place] = link
    } else {
      precondition(moveLinkCount < moveLinkCapacity, "more pairs than there are")
      (moveLinks + moveLinkCount).initialize(to: link)
      moveLinkCount += 1
    }
  }

  /// Of a replica that is dead: gives back what its host's memory held. What it had handed to egress has left.
  mutating func abandon() {
    for input in 0..<inputCount { giveBackAll(of: inputs[input], references: 2) }
    for place in 0..<forwardCount { giveBackAll(of: forwards[place], references: 2) }
    replica.stepDown()
    while true {
      let (released, kept) = replica.takeAbandoned(
        released: freedPassed, kept: freedDropped, capacity: Self.releaseBurst)
      guard released + kept > 0 else { return }
      if released > 0 { cd_release(handles(freedPassed), UInt32(released), 1, isShared) }
      if kept > 0 { cd_release(handles(freedDropped), UInt32(kept), 2, isShared) }
    }
  }
  private func giveBackAll(of ring: OpaquePointer, references: UInt16) {
    while true {
      let count = Int(cd_ring_dequeue(ring, handles(packets), UInt32(StamperStage.burst)))
      guard count > 0 else { return }
      cd_release(handles(packets), UInt32(count), references, isShared)
    }
  }

  /// Once per half a `gapTimeout`, or when the secondary has asked for something or sent it.
  @inline(never) @usableFromInline
  mutating func repair(now: UInt64, inputIsDry: Bool) {
    let outcome = replica.repairGaps(now: now, inputIsDry: inputIsDry, into: &repairs, unwanted: repairUnwanted)
    if outcome.hasMail { hasMail = true }
    if outcome.unwanted > 0 {
      cd_release(
        handles(repairUnwanted), UInt32(outcome.unwanted), replica.configuration.isReplicated ? 2 : 1, isShared)
    }
  }

  @inlinable @inline(__always)
  mutating func release() -> Int {
    let room = min(Self.releaseBurst, Int(cd_ring_free_count(releases)))
    let count = replica.release(into: outgoing, capacity: room)
    if count > 0 {
      let sent = cd_ring_enqueue(releases, handles(outgoing), UInt32(count))
      precondition(Int(sent) == count, "the release ring had room a moment ago")
    }
    return count
  }

  @inlinable @inline(__always)
  mutating func free() -> Int {
    let (passed, dropped) = replica.takeFreed(passed: freedPassed, dropped: freedDropped, capacity: Self.releaseBurst)
    let isReplicated = replica.configuration.isReplicated
    // Without a secondary the packet went to egress with its only reference.
    if passed > 0, isReplicated { cd_release(handles(freedPassed), UInt32(passed), 1, isShared) }
    if dropped > 0 { cd_release(handles(freedDropped), UInt32(dropped), isReplicated ? 2 : 1, isShared) }
    while let flowID = replica.nextCommittedClose() { returnSlot(flowID) }
    return passed &+ dropped
  }

  @inline(never) @usableFromInline
  func returnSlot(_ flowID: UInt32) {
    var word = UnsafeMutableRawPointer(bitPattern: UInt(flowID))
    let sent = cd_ring_enqueue(closeRings[layout.unit(flowID)], &word, 1)
    precondition(sent == 1, "more closes in flight than a stamping unit begins")
  }

  /// Steps 1 and 2 of the paper (IV-B). `isDry`: there was room, and nothing to take.
  @inlinable @inline(__always)
  mutating func take(now: UInt64) -> (taken: Int, isDry: Bool) {
    var taken = 0
    var isDry = true
    for _ in 0..<Self.takeBursts &* inputCount {
      let room = min(StamperStage.burst, replica.room)
      guard room > 0 else { return (taken, false) }
      let count = Int(cd_ring_dequeue(inputs[nextInput], handles(packets), UInt32(room)))
      nextInput = nextInput &+ 1 == inputCount ? 0 : nextInput &+ 1
      guard count > 0 else { continue }
      isDry = false
      let processedBefore = replica.counters.processed
      let refused = replica.process(packets, count: count, unwanted: unwanted, now: now)
      counters.pointee.processed &+= replica.counters.processed &- processedBefore
      if refused > 0 {
        cd_release(handles(unwanted), UInt32(refused), replica.configuration.isReplicated ? 2 : 1, isShared)
      }
      taken &+= count
      takenTotal &+= UInt64(truncatingIfNeeded: count)
    }
    return (taken, isDry)
  }
}
