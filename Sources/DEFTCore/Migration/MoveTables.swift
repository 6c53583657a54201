import DEFTWire

/// A move of one group away from this primary.
///
/// | phase | on | to |
/// |---|---|---|
/// | copying | the other pair has all entries once, and there is room for the packets that wait in pendingLists | draining: the group freezes |
/// | draining | a state clock that covers all that was processed is applied at the secondary | drained |
/// | drained | the other pair has, at both replicas, all entries as they are now | (complete) |
/// | any | the map: moved, or undone; the pair's epoch changed | (none) |
///
/// While it copies, the group is processed as ever, so that its packets wait only for what has changed meanwhile, which is sent
/// while it drains. What is sent may say what neither the secondary nor egress has yet: it is inert before the map says so.
///
/// Prohibited: complete before the group is drained (the secondary, and egress, might not have what the entries say), or with
/// an entry that the group has left behind.
struct OutgoingMove: BitwiseCopyable {
  enum Phase { case copying, draining, drained }
  var phase = Phase.copying
  /// The target has all entries as they are in the frozen group, at both replicas.
  var isThere = false
  var group: Int
  var version: UInt32
  var target: Int
  var targetEpoch: UInt32
  /// Its part of `PrimaryMoves.copied`.
  var slot: Int
  /// Everything of the group lies before this position of the output buffer, and these losses are its last; once it drains.
  var end: UInt64 = 0
  var lostEnd: UInt64 = 0
  /// Flows of the group up to here were sent; up to there the target has them. They are counted on from the first
  /// round, in which all are sent, to the second, in which those are that have changed.
  var sent: UInt32 = 0
  var acknowledged: UInt32 = 0
  /// The most that `sent` ever was.
  var furthest: UInt32 = 0
  var lastSend: UInt64 = 0
  /// The target says that what lies beyond `acknowledged` did not arrive.
  var isAgain = false
}

/// A move of one group to this primary, whose entries are here and inert.
struct IncomingMove: BitwiseCopyable {
  var group: Int
  var version: UInt32
  var source: Int
  var sourceEpoch: UInt32
  /// Flows of the group up to here are in the table; as `OutgoingMove.sent`.
  var end: UInt32 = 0
  var isWhole = false
  /// The last batch that took some of them to the secondary.
  var batch: UInt64 = 0
  /// The source is to be told (again), once the secondary has what came.
  var isDue = false
  /// A part had to be refused for want of room.
  var isAgain = false
  var saidComplete = false
}

/// A short list in fixed memory. Capacity: 16 moves each way at a time; more wait their turn, counted.
struct MoveTable<Move: BitwiseCopyable>: ~Copyable {
  static var capacity: Int { 16 }
  private let moves: UnsafeMutablePointer<Move>
  private(set) var count = 0
  init(memory: TableMemory) {
    moves = memory(MemoryLayout<Move>.stride * Self.capacity).bindMemory(to: Move.self, capacity: Self.capacity)
  }
  var isFull: Bool { count == Self.capacity }
  subscript(index: Int) -> Move {
    get { moves[index] }
    nonmutating set { moves[index] = newValue }
  }
  mutating func append(_ move: Move) {
    precondition(!isFull)
    moves[count] = move
    count += 1
  }
  mutating func remove(at index: Int) {
    for later in index + 1..<max(count, index + 1) { moves[later - 1] = moves[later] }
    count -= 1
  }
  mutating func removeAll() { count = 0 }
  func firstIndex(where isWanted: (Move) -> Bool) -> Int? { (0..<count).first { isWanted(moves[$0]) } }
}

/// What a primary remembers of moves.
@usableFromInline
struct PrimaryMoves: ~Copyable {
  var outgoing: MoveTable<OutgoingMove>
  var incoming: MoveTable<IncomingMove>
  /// A staged group was given up, and the secondary has not been told: groups, by bit.
  let unstaged: UnsafeMutablePointer<Bool>
  var unstagedCount = 0
  /// A state clock must cover what lies before this position.
  var clockEnd: UInt64 = 0
  /// And losses up to this one.
  var lostEnd: UInt64 = 0

  /// By `OutgoingMove.slot` and place within the group: which flow was copied, and its next counter then. 0: nobody knows.
  let copied: UnsafeMutablePointer<UInt64>
  private let flowsPerGroup: Int

  init(groups: Int, layout: FlowIDLayout, memory: TableMemory) {
    outgoing = MoveTable(memory: memory)
    incoming = MoveTable(memory: memory)
    flowsPerGroup = (layout.indexCount + groups - 1) / groups
    let count = MoveTable<OutgoingMove>.capacity * flowsPerGroup
    copied = memory(count * 8).bindMemory(to: UInt64.self, capacity: count)
    unstaged = memory(groups).bindMemory(to: Bool.self, capacity: groups)
  }

  /// One that no move has; there is one.
  var freeSlot: Int {
    (0..<MoveTable<OutgoingMove>.capacity).first { slot in outgoing.firstIndex { $0.slot == slot } == nil }!
  }
  func copied(_ move: OutgoingMove) -> UnsafeMutablePointer<UInt64> { copied + move.slot * flowsPerGroup }
}

/// What a replica has done for moves of flow groups (R8, R11). Written by its lcore only.
@frozen
public struct MigrationCounters: Sendable {
  /// Groups that began to be copied, were frozen, given away, taken, and thawed without having moved.
  public var begun: UInt64 = 0
  public var frozen: UInt64 = 0
  public var left: UInt64 = 0
  public var joined: UInt64 = 0
  public var undone: UInt64 = 0
  /// Packets kept because of their group's standing, processed or held after that, and handed out to be forwarded.
  public var kept: UInt64 = 0
  public var thawed: UInt64 = 0
  public var forwarded: UInt64 = 0
  /// Flows sent (again, too) and installed.
  public var entriesSent: UInt64 = 0
  public var entriesStaged: UInt64 = 0
  /// Installed again, because the flow had gone on since it was copied.
  public var entriesRestaged: UInt64 = 0
  /// Waits: no room for what a frozen group's packets need, or too many moves at a time; a log or the window was full.
  public var noRoom: UInt64 = 0
  public var logFull: UInt64 = 0
  /// Messages and map entries of a version or an epoch that has passed.
  public var stale: UInt64 = 0
  /// Messages that no correct peer sends.
  public var impossible: UInt64 = 0
  /// Times that a loss was not declared, or a packet not denied, because the former owners had not drained.
  public var lossesDelayed: UInt64 = 0
  public init() {}
}
