/// One thing that will happen.
struct Event {
  enum Kind: UInt8 {
    /// A stage's turn: `target` is the actor.
    case poll
    /// A packet comes out of a path: `target` is its place in `Simulation.flights`.
    case arrival
    /// A control thread looks for messages to send: `target` is the link.
    case pump
    /// A message comes out of a link's direction: `payload` is the connection's number and the direction.
    case message
    /// A dead or slow link's turn: `payload` is the connection's number.
    case linkEnds, linkOpens
    /// The slot of a closed flow comes back: `target` is the unit, `payload` the flow ID.
    case closeNotice
    /// Egress's word reaches a primary: `target` is the actor, `payload` the count.
    case acknowledgement
    /// A primary tells egress where flows begin: `target` is its place in `Simulation.tellings`. Egress's answer to an actor.
    case telling, told
    /// The failure detector says that egress is dead.
    case egressSuspicion
    /// The next fault strikes.
    case fault
    /// The failure detector says that a node is dead: `target`.
    case suspicion
    /// Somebody looks whether a pair lacks a secondary: `target`.
    case repairMap
    /// A change of the map is learnt: `target` is a node, or behind those a stamping unit.
    case mapNotice
    /// A node comes back: `target`.
    case restart
    /// No more faults from here on.
    case heal
    /// Somebody wants a flow group to move.
    case move
    /// Whoever leads the move of a group looks at it: `target`.
    case lead
    /// A proposal reaches the map: `target` is the group, `payload` the version and the transition.
    case groupProposal
    /// A message between two pairs' primaries arrives: `target` is its place in `Simulation.moveMessages`.
    case moveMessage
    /// Looks whether everything has come to its end.
    case check
  }
  var time: UInt64
  /// Among events of one time the first scheduled comes first.
  var order: UInt32
  var kind: Kind
  var target: UInt16
  var payload: UInt64
}

/// Events by time: a binary heap. Grows to what a run needs and is used again for the next.
struct EventQueue {
  private var heap: [Event] = []
  private var nextOrder: UInt32 = 0

  init() { heap.reserveCapacity(512) }
  var count: Int { heap.count }

  mutating func removeAll() {
    heap.removeAll(keepingCapacity: true)
    nextOrder = 0
  }

  private static func isBefore(_ x: Event, _ y: Event) -> Bool {
    x.time != y.time ? x.time < y.time : x.order < y.order
  }

  /// Takes out the events that `isWanted` names, in order.
  mutating func take(_ isWanted: (Event) -> Bool) -> [Event] {
    let taken = heap.filter(isWanted).sorted(by: EventQueue.isBefore)
    let rest = heap.filter { !isWanted($0) }.sorted(by: EventQueue.isBefore)
    heap = rest
    return taken
  }

  mutating func add(_ kind: Event.Kind, at time: UInt64, target: Int, payload: UInt64 = 0) {
    let event = Event(time: time, order: nextOrder, kind: kind, target: UInt16(target), payload: payload)
    nextOrder &+= 1
    heap.append(event)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard EventQueue.isBefore(event, heap[parent]) else { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = event
  }

  mutating func next() -> Event? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    let count = heap.count
    guard count > 0 else { return first }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < count else { break }
      if child + 1 < count, EventQueue.isBefore(heap[child + 1], heap[child]) { child += 1 }
      guard EventQueue.isBefore(heap[child], last) else { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = last
    return first
  }
}
