import Synchronization

/// A short list that one thread appends to while others read it.
struct StageList<Element>: @unchecked Sendable {
  private let elements: UnsafeMutablePointer<Element>
  private let count: UnsafeMutablePointer<Atomic<Int>>
  private let capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    elements = .allocate(capacity: capacity)
    count = .allocate(capacity: 1)
    count.initialize(to: Atomic(0))
  }

  func append(_ element: Element) {
    let place = count.pointee.load(ordering: .relaxed)
    precondition(place < capacity, "more than were planned")
    (elements + place).initialize(to: element)
    count.pointee.store(place + 1, ordering: .releasing)
  }
  var all: [Element] { (0..<count.pointee.load(ordering: .acquiring)).map { elements[$0] } }
}
