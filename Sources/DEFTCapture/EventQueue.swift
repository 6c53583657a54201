/// Who sends next: a binary heap of (virtual time in ns, conversation). Equal times go by the conversation's number, so
/// that the order is defined.
struct EventQueue {
  struct Event {
    var time: UInt64
    var conversation: Int32

    func isBefore(_ other: Event) -> Bool {
      time != other.time ? time < other.time : conversation < other.conversation
    }
  }

  private var heap: [Event]

  init(_ events: [Event]) {
    heap = events
    for parent in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(parent) }
  }

  var first: Event? { heap.first }

  /// The first event's conversation sends again at `time`.
  mutating func rescheduleFirst(at time: UInt64) {
    heap[0].time = time
    sink(0)
  }

  mutating func removeFirst() {
    let last = heap.removeLast()
    guard !heap.isEmpty else { return }
    heap[0] = last
    sink(0)
  }

  private mutating func sink(_ start: Int) {
    var parent = start
    let event = heap[parent]
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
      guard heap[child].isBefore(event) else { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = event
  }
}
