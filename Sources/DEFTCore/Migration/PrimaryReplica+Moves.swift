import DEFTWire

/// How far a move of a group away from a primary is.
@frozen
public enum MoveStatus: Sendable, Equatable {
  /// The replica does not move it: it was never told, had no room, or its pair's epoch has changed.
  case none
  case draining
  case sending
  /// The state is at both replicas of the other pair: the map may be asked to commit.
  case complete
}

// The state of a group moves from primary to primary, by 2PC (R11; paper, V).
//
// ```
//  A                              B                          B'
//  freeze, drain
//  move(from ..< end) ──────────► installs, inert
//                                 stage, a batch ──────────► installs, inert
//                                 ◄────────────────── vote
//  ◄──────── moved(end, complete)
// ```
//
// Messages say from where to where they go; B takes only what follows on what it has, and says where it is. So repeated
// ones do nothing, and what is lost is sent again.
extension PrimaryReplica where Log: ~Copyable {
  public func moveStatus(of group: Int) -> MoveStatus {
    guard let place = moves.outgoing.firstIndex(where: { $0.group == group }) else { return .none }
    switch moves.outgoing[place].phase {
    case .draining: return .draining
    case .sending: return .sending
    case .complete: return .complete
    }
  }

  /// One step of the moves to the pair `target`: looks whether they have drained, and writes at most
  /// one message, for the other flows wait meanwhile. `log`
  /// goes to that pair's primary and keeps nothing. To be called in every poll while `isMigrating`. True if there is
  /// something to read.
  public mutating func continueMoves<Out: MessageLog & ~Copyable>(
    to target: Int, now: UInt64, into log: inout Out
  ) -> Bool {
    for place in 0..<moves.outgoing.count where moves.outgoing[place].target == target {
      if moves.outgoing[place].phase == .draining, isDrained(moves.outgoing[place]) {
        moves.outgoing[place].phase = .sending
        noteMoves()
      }
    }
    for _ in 0..<moves.outgoing.count {
      moves.turn = moves.turn + 1 < moves.outgoing.count ? moves.turn + 1 : 0
      let move = moves.outgoing[moves.turn]
      if move.target == target, move.phase == .sending, send(moves.turn, now: now, into: &log) { return true }
    }
    return false
  }

  /// Everything of the group that was processed is voted for, released and acknowledged by egress, and its state is applied
  /// at the secondary; and so is what was declared lost.
  private func isDrained(_ move: OutgoingMove) -> Bool {
    standing == .inSync && applied >= move.end && repair.lostApplied >= move.lostEnd && !isTelling
  }

  /// Indices looked at for one message.
  private static var scanLimit: Int { 1024 }

  private mutating func send<Out: MessageLog & ~Copyable>(_ place: Int, now: UInt64, into log: inout Out) -> Bool {
    var move = moves.outgoing[place]
    let whole = UInt32(flows.indexCount(ofGroup: move.group, of: gate.groupCount))
    // Nothing was heard for long: the rest again, or just the question.
    if move.lastSend != 0, now &- move.lastSend >= configuration.acknowledgeTimeout {
      (move.sent, move.isAgain) = (move.acknowledged, true)
    }
    guard move.sent < whole || move.isAgain || move.lastSend == 0 else { return false }
    let entryBytes = snapshot.entryBytes
    let longest = ControlMessageHeader.byteCount + MoveHeader.byteCount + configuration.snapshotChunk * entryBytes
    guard let message = log.reserve(longest) else {
      counters.migration.logFull &+= 1
      return false
    }
    let stateSize = MemoryLayout<Function.State>.size
    let entries = message + ControlMessageHeader.byteCount + MoveHeader.byteCount
    let from = move.sent
    let end = min(Int(whole), Int(from) + Self.scanLimit)
    var count = 0
    while Int(move.sent) < end, count < configuration.snapshotChunk {
      let index = move.group + Int(move.sent) * gate.groupCount
      let ahead = index + 8 * gate.groupCount
      if ahead < flows.layout.indexCount { Storage.prefetch(flows[ahead]) }
      if flows[index].pointee.flowID != 0 {
        write(flows[index], to: entries + count * entryBytes, stateSize: stateSize, entryBytes: entryBytes)
        count += 1
      }
      move.sent += 1
    }
    let length = ControlMessageHeader.byteCount + MoveHeader.byteCount + count * entryBytes
    ControlMessageHeader(
      kind: .move, pair: UInt16(move.target), epoch: move.targetEpoch, batch: 0, count: UInt32(count),
      detail: UInt32(entryBytes), flags: move.sent == whole ? ControlMessageHeader.moveComplete : 0, length: length
    ).write(to: message)
    MoveHeader(
      group: UInt32(move.group), version: move.version, sourcePair: UInt32(configuration.pair),
      sourceEpoch: configuration.epoch, from: from, end: move.sent
    ).write(to: message + ControlMessageHeader.byteCount)
    log.publish(through: log.append(length))
    move.isAgain = false
    move.lastSend = max(now, 1)
    counters.migration.entriesSent &+= UInt64(count)
    moves.outgoing[place] = move
    return true
  }

  /// A message of another pair's primary: `.move` or `.moved`. The caller has checked its lengths. What belongs to another
  /// epoch or version than this replica knows is counted and ignored; the map is what says who owns what.
  public mutating func receiveMove(_ message: UnsafeRawBufferPointer) {
    let bytes = message.baseAddress.unsafelyUnwrapped
    let header = ControlMessageHeader(reading: bytes)
    let body = bytes + ControlMessageHeader.byteCount
    let move = MoveHeader(reading: body)
    guard header.pair == configuration.pair, header.epoch == configuration.epoch, !isSteppedDown, standing == .inSync
    else {
      counters.migration.stale &+= 1
      return
    }
    guard Int(move.group) < gate.groupCount, move.from <= move.end,
      Int(move.end) <= flows.indexCount(ofGroup: Int(move.group), of: gate.groupCount)
    else {
      counters.migration.impossible &+= 1
      return
    }
    switch ControlMessageHeader.Kind(rawValue: header.kind) {
    case .move: stage(header, move, body)
    case .moved: learnMoved(header, move)
    default: counters.migration.impossible &+= 1
    }
  }

  private mutating func learnMoved(_ header: ControlMessageHeader, _ answer: MoveHeader) {
    guard
      let place = moves.outgoing.firstIndex(where: { $0.group == answer.group && $0.version == answer.version }),
      moves.outgoing[place].phase != .draining
    else {
      counters.migration.stale &+= 1
      return
    }
    guard answer.end >= moves.outgoing[place].acknowledged else { return }
    moves.outgoing[place].acknowledged = answer.end
    if header.flags & ControlMessageHeader.moveAgain != 0 {
      moves.outgoing[place].sent = answer.end
      moves.outgoing[place].isAgain = true
    }
    if header.flags & ControlMessageHeader.moveComplete != 0 { moves.outgoing[place].phase = .complete }
  }
}
