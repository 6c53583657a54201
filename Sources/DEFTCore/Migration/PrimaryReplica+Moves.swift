import DEFTWire

/// How far a move of a group away from a primary is.
@frozen
public enum MoveStatus: Sendable, Equatable {
  /// The replica does not move it: it was never told, had no room, or its pair's epoch has changed.
  case none
  /// It sends the states, and goes on processing.
  case copying
  case draining
  case sending
  /// The state is at both replicas of the other pair: the map may be asked to commit.
  case complete
}

// The state of a group moves from primary to primary, by 2PC (R11; paper, V). All of it is copied while packets flow; what has
// changed since is sent again when the group is frozen, while it drains, so that its packets wait for little.
//
// ```
//  A                              B                          B'
//  move(from ..< end) ──────────► installs, inert
//                                 stage, a batch ──────────► installs, inert
//                                 ◄────────────────── vote
//  ◄──────────────── moved(end)
//  … all: freeze; begin to drain
//  move(from ..< end) ──────────► again, of what has changed
//  ◄──────── moved(end, complete)
//  … drained: complete
// ```
//
// Messages say from where to where they go; B takes only what follows on what it has, and says where it is. So repeated
// ones do nothing, and what is lost is sent again.
extension PrimaryReplica where Log: ~Copyable {
  public func moveStatus(of group: Int) -> MoveStatus {
    guard let place = moves.outgoing.firstIndex(where: { $0.group == group }) else { return .none }
    switch moves.outgoing[place].phase {
    case .copying: return .copying
    case .draining: return .draining
    case .drained: return moves.outgoing[place].isThere ? .complete : .sending
    }
  }

  /// Groups copied at a time, each with one message under way: what votes wait behind stays short.
  private static var copyingAtOnce: Int { 4 }

  /// One step of the moves to the pair `target`: looks whether they have been copied, or have drained, and writes at most
  /// one message, for the other flows wait meanwhile. `log`
  /// goes to that pair's primary and keeps nothing. To be called in every poll while `isMigrating`. True if there is
  /// something to read.
  public mutating func continueMoves<Out: MessageLog & ~Copyable>(
    to target: Int, now: UInt64, into log: inout Out
  ) -> Bool {
    for place in 0..<moves.outgoing.count where moves.outgoing[place].target == target {
      let move = moves.outgoing[place]
      if move.phase == .copying, move.acknowledged == roundLength(move.group) {
        freeze(place)
      } else if move.phase == .draining, isDrained(move) {
        moves.outgoing[place].phase = .drained
        noteMoves()
      }
    }
    // Those whose packets wait come first.
    for place in 0..<moves.outgoing.count
    where moves.outgoing[place].target == target && moves.outgoing[place].phase != .copying && !moves.outgoing[place].isThere
    {
      if send(place, now: now, into: &log) { return true }
    }
    var copying = 0
    for place in 0..<moves.outgoing.count
    where moves.outgoing[place].target == target && moves.outgoing[place].phase == .copying {
      copying += 1
      if copying <= Self.copyingAtOnce, send(place, now: now, into: &log) { return true }
    }
    return false
  }

  /// Flows of a group that one round goes over.
  private func roundLength(_ group: Int) -> UInt32 { UInt32(flows.indexCount(ofGroup: group, of: gate.groupCount)) }

  /// Everything of the group that was processed is voted for, released and acknowledged by egress, and its state is applied
  /// at the secondary; and so is what was declared lost.
  private func isDrained(_ move: OutgoingMove) -> Bool {
    standing == .inSync && applied >= move.end && repair.lostApplied >= move.lostEnd && !isTelling
  }

  /// Indices looked at for one message.
  private static var scanLimit: Int { 1024 }

  private mutating func send<Out: MessageLog & ~Copyable>(_ place: Int, now: UInt64, into log: inout Out) -> Bool {
    var move = moves.outgoing[place]
    let whole = roundLength(move.group)
    let isCopying = move.phase == .copying
    let last = isCopying ? whole : 2 * whole
    // Nothing was heard for long: the rest again, or just the question.
    if move.lastSend != 0, now &- move.lastSend >= configuration.acknowledgeTimeout {
      (move.sent, move.isAgain) = (move.acknowledged, true)
    }
    let isDue = move.sent < last && (!isCopying || move.sent == move.acknowledged)
    guard isDue || (!isCopying && (move.isAgain || move.lastSend == 0)) else { return false }
    let entryBytes = snapshot.entryBytes
    let longest = ControlMessageHeader.byteCount + MoveHeader.byteCount + configuration.snapshotChunk * entryBytes
    guard let message = log.reserve(longest) else {
      counters.migration.logFull &+= 1
      return false
    }
    let from = move.sent
    let count = writeEntries(
      &move, whole, last, to: message + ControlMessageHeader.byteCount + MoveHeader.byteCount, entryBytes: entryBytes)
    let length = ControlMessageHeader.byteCount + MoveHeader.byteCount + count * entryBytes
    ControlMessageHeader(
      kind: .move, pair: UInt16(move.target), epoch: move.targetEpoch, batch: 0, count: UInt32(count),
      detail: UInt32(entryBytes), flags: move.sent == 2 * whole ? ControlMessageHeader.moveComplete : 0, length: length
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

  /// The next entries of the round: in the first all, in the second those of flows that have gone on since.
  private func writeEntries(
    _ move: inout OutgoingMove, _ whole: UInt32, _ last: UInt32, to entries: UnsafeMutableRawPointer, entryBytes: Int
  ) -> Int {
    let stateSize = MemoryLayout<Function.State>.size
    let copied = moves.copied(move)
    let isFirstRound = last == whole
    let end = min(Int(last), Int(move.sent) + Self.scanLimit)
    var count = 0
    while Int(move.sent) < end, count < configuration.snapshotChunk {
      let place = Int(isFirstRound ? move.sent : move.sent - whole)
      let index = move.group + place * gate.groupCount
      let ahead = index + 8 * gate.groupCount
      if ahead < flows.layout.indexCount { Storage.prefetch(flows[ahead]) }
      let flow = flows[index]
      let version = UInt64(flow.pointee.flowID) << 32 | UInt64(flow.pointee.next)
      if flow.pointee.flowID != 0, isFirstRound || copied[place] != version {
        write(flow, to: entries + count * entryBytes, stateSize: stateSize, entryBytes: entryBytes)
        count += 1
      }
      // Of what is sent again nobody knows which copy arrived.
      if isFirstRound { copied[place] = flow.pointee.flowID == 0 || move.sent < move.furthest ? 0 : version }
      move.sent += 1
    }
    move.furthest = max(move.furthest, move.sent)
    return count
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
      Int(move.end) <= 2 * flows.indexCount(ofGroup: Int(move.group), of: gate.groupCount)
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
      !moves.outgoing[place].isThere
    else {
      counters.migration.stale &+= 1
      return
    }
    guard answer.end >= moves.outgoing[place].acknowledged else { return }
    moves.outgoing[place].acknowledged = answer.end
    // It may have been about to be sent again.
    moves.outgoing[place].sent = max(moves.outgoing[place].sent, answer.end)
    if header.flags & ControlMessageHeader.moveAgain != 0 {
      moves.outgoing[place].sent = answer.end
      moves.outgoing[place].isAgain = true
    }
    if header.flags & ControlMessageHeader.moveComplete != 0 { moves.outgoing[place].isThere = true }
  }
}
