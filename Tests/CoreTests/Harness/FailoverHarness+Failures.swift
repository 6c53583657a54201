import DEFTWire

@testable import DEFTCore

// What fails, and what the map makes of it.
extension FailoverHarness {
  /// The primary is suspected. `isDead`: with reason; otherwise it goes on until it learns of it (B4).
  func failPrimary(isDead: Bool = true) {
    guard zombie == nil, assignment.standing == .inSync, let heir = secondary else { return }
    let outcome = map.propose(.primaryFailed(), pair: 0, ifEpoch: assignment.epoch)
    require(outcome == .accepted(.takeover), "the map says \(outcome)")
    let old = primary
    if isDead { bury(old) } else { zombie = old }
    takeOver(heir)
  }

  private func takeOver(_ heir: Host) {
    inDoubt += Int(heir.secondary!.pointee.votedBatch - heir.secondary!.pointee.appliedBatch)
    heir.secondary!.pointee.promise(epoch: assignment.epoch)
    heir.secondary!.pointee.forEachHeld { bank.addReference($0) }
    for (packet, _) in heir.input { bank.addReference(packet) }
    makeLogs(heir)
    heir.primary = .allocate(capacity: 1)
    heir.primary!.initialize(
      to: Primary(
        takingOver: heir.secondary!.move(), epoch: assignment.epoch, function: options.function,
        prepares: BookLog(book: heir.prepares!), commits: BookLog(book: heir.commits!), closeCapacity: options.slots,
        memory: arena.allocate))
    heir.secondary!.deallocate()
    heir.secondary = nil
    heir.stream = assignment.epoch
    heir.mail = []
    primary = heir
    secondary = nil
    takeovers += 1
  }

  /// A host is gone: all that it had, and some of what it had sent.
  func bury(_ host: Host) {
    while !toEgress.isEmpty, toEgress.last!.tag.stream == host.stream, random.oneIn(2) {
      giveBack(toEgress.removeLast().packet, 1, "the way to egress")
    }
    host.primary!.pointee.stepDown()
    takeAbandoned(host)
    for (packet, _) in host.input { giveBack(packet, 2, "the input of the dead") }
    host.input = []
  }
  private func takeAbandoned(_ host: Host) {
    var released = [Packet](repeating: Packet(bitPattern: 8)!, count: 16)
    var kept = released
    while true {
      let counts = host.primary!.pointee.takeAbandoned(released: &released, kept: &kept, capacity: 16)
      for packet in released[..<counts.released] { giveBack(packet, 1, "the dead primary") }
      for packet in kept[..<counts.kept] { giveBack(packet, 2, "the dead primary") }
      if counts == (0, 0) { break }
    }
  }

  /// What a primary does that has not heard of its successor. It gets the votes that were on their way.
  func runZombie() {
    guard let host = zombie else { return }
    deliverToPrimary(1 + random.below(16), host)
    closeBatch(dry: true, host)
    _ = deliverToPrimaryNode(host)
    release(64, host)
  }
  /// It hears of it, by the map or by a message.
  func wakeZombie(byMessage: Bool) {
    guard let host = zombie else { return }
    if byMessage {
      host.mail = [answer(.vote, batch: 1, applied: 0, epoch: assignment.epoch)]
      _ = deliverToPrimaryNode(host)
      require(host.primary!.pointee.isSteppedDown, "a message of a later epoch changes nothing")
    }
    let before = toEgress.count
    bury(host)
    release(64, host)
    require(toEgress.count <= before && host.primary!.pointee.room == 0, "it releases after it stepped down")
    zombie = nil
  }

  /// A third node becomes the secondary; packets stamped from now on go there, too.
  func addSecondary() {
    guard assignment.standing == .none, primary.primary!.pointee.maySync else { return }
    lastHost += 1
    let host = Host(NodeID(lastHost))
    let outcome = map.propose(.secondaryAdded(host.id), pair: 0, ifEpoch: assignment.epoch)
    require(outcome == .accepted(.sync), "the map says \(outcome)")
    var configuration = options.replication
    configuration.epoch = assignment.epoch
    host.secondary = .allocate(capacity: 1)
    host.secondary!.initialize(
      to: Secondary(
        initialState: ScriptedFunction.initialState, configuration: configuration, layout: layout, isSyncing: true,
        memory: arena.allocate))
    makeLogs(primary)
    primary.mail = []
    primary.primary!.pointee.beginSync(
      epoch: assignment.epoch, prepares: BookLog(book: primary.prepares!), commits: BookLog(book: primary.commits!),
      now: now)
    secondary = host
    ruleChange = stamped
    syncs += 1
  }

  // Calls on the primary, which is not copyable and so cannot stand in an expectation.
  var isSyncComplete: Bool { primary.primary!.pointee.isSyncComplete }
  func isCloseCommitted(_ flowID: UInt32) -> Bool { primary.primary!.pointee.isCloseCommitted(flowID) }
  func nextCommittedClose() -> UInt32? { primary.primary!.pointee.nextCommittedClose() }

  func continueSync() {
    guard let host = secondary, primary.primary!.pointee.isSyncing else { return }
    if primary.input.allSatisfy({ $0.place >= ruleChange }) { primary.primary!.pointee.drained() }
    _ = primary.primary!.pointee.continueSync(now: now)
    guard primary.primary!.pointee.isSyncComplete else { return }
    let outcome = map.propose(.syncFinished, pair: 0, ifEpoch: assignment.epoch)
    require(outcome == .accepted(.protected), "the map says \(outcome)")
    host.secondary!.pointee.becomeInSync()
    primary.primary!.pointee.becomeProtected()
    syncsFinished += 1
  }

  /// What the secondary lacks of a packet clock, the primary sends from its output buffer (R10).
  func repair() {
    guard let host = secondary, let s = host.secondary, let p = primary.primary else { return }
    var wanted: Set<UInt64> = []
    for position in s.pointee.waitingHead..<s.pointee.waitingTail {
      let entry = s.pointee.waiting[Int(position & s.pointee.waitingMask)]
      let flow = s.pointee.flows.entry(entry.flowID)
      var counter = flow.pointee.flowID == entry.flowID ? flow.pointee.next : Stamp.firstCounter
      while counter.isSeriallyBefore(entry.next) {
        wanted.insert(UInt64(entry.flowID) << 32 | UInt64(counter))
        counter &+= 1
      }
    }
    guard !wanted.isEmpty else { return }
    for position in p.pointee.freed..<p.pointee.tail {
      let packet = Packet(bitPattern: p.pointee.output[Int(position & p.pointee.outputMask)] & ~1)!
      guard wanted.contains(UInt64(packet.pointee.flowID) << 32 | UInt64(packet.pointee.counter)),
        host.secondary!.pointee.room > 0
      else { continue }
      repaired += 1
      hold([bank.copy(packet, references: 1)], host)
    }
  }

  func failSecondary() {
    guard let host = secondary else { return }
    let outcome = map.propose(.secondaryFailed, pair: 0, ifEpoch: assignment.epoch)
    require(outcome == .accepted(.alone), "the map says \(outcome)")
    var packets = [Packet](repeating: Packet(bitPattern: 8)!, count: 16)
    while true {
      let count = host.secondary!.pointee.takeAbandoned(into: &packets, capacity: 16)
      for packet in packets[..<count] { giveBack(packet, 1, "the dead secondary") }
      if count == 0 { break }
    }
    for (packet, _) in host.input { giveBack(packet, 1, "the input of the dead") }
    secondary = nil
    primary.mail = []
    primary.primary!.pointee.secondaryFailed(epoch: assignment.epoch)
  }
}
