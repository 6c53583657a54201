import DEFTCore

/// A stage that gets its turn again and again, as on an lcore.
protocol Actor: AnyObject {
  /// Place in `Simulation.actors`.
  var index: Int { get }
  var name: String { get }
  /// It is no more: it has no turns.
  var isGone: Bool { get }
  /// One turn. Returns how much it moved.
  func poll() -> Int
}

extension Actor {
  var isGone: Bool { false }
}

/// One replica of a pair, on one node.
protocol ReplicaActor: Actor {
  var simulation: Simulation { get }
  var pair: Int { get }
  var node: SimulatedNode { get }
  var epoch: UInt32 { get }
  /// References that it needs to a packet that comes in.
  var referencesPerPacket: Int { get }
  var input: Fifo<Packet> { get set }
  /// Packets taken from the input; and, by stamping unit, how many must have been before all of its earlier incarnations'
  /// packets are through.
  var taken: UInt64 { get }
  var inputMarks: [UInt64] { get set }
  /// Its bit in the flows' histories.
  var mark: Int { get }
  /// What gap repair has brought and the replica has not looked at.
  var repaired: Fifo<Packet> { get set }
  /// The units' incarnations when it became a replica of the pair.
  var firstIncarnations: [UInt32] { get }
  /// Calls `body` with every packet that waits in the replica, be it to be processed or to be covered.
  func forEachWaiting(_ body: (_ flowID: UInt32, _ counter: UInt32) -> Void)
  /// Its node has failed.
  func die()
  /// The map has no part for it any more: it does nothing more and gives back what it holds.
  func stepDown()
}

extension ReplicaActor {
  func markInput(of unit: Int) { inputMarks[unit] = taken + UInt64(input.count) }
  func markInput() { for unit in inputMarks.indices { markInput(of: unit) } }
  /// It takes nothing more of the unit's earlier incarnations, and has taken what had come: of the unit before it knew of the
  /// last of them, and of former owners before it knew that it waits for none.
  func isShut(to unit: Int, before incarnation: UInt32) -> Bool {
    guard !isGone, node.incarnations[unit] >= incarnation, taken >= inputMarks[unit] else { return false }
    // What a former primary has forwarded (R8).
    let forwards = (self as? PrimaryActor)?.forwards.waiting
    return !(forwards?.contains { simulation.layout.unit($0.pointee.flowID) == unit } ?? false)
  }
}

/// When an actor has its turns.
struct Turn {
  /// The time of the turn that is scheduled; other poll events are void.
  var due: UInt64 = 0
  /// Turns in a row that moved nothing: the next ones are further apart.
  var idle = 0
  /// It stands still until then.
  var stalledUntil: UInt64 = 0
}
