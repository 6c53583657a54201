/// First in, first out.
struct Fifo<Element> {
  private var elements: [Element] = []
  private var head = 0

  var count: Int { elements.count - head }
  var isEmpty: Bool { head == elements.count }
  var first: Element? { isEmpty ? nil : elements[head] }
  var waiting: ArraySlice<Element> { elements[head...] }

  mutating func append(_ element: Element) { elements.append(element) }
  mutating func prepend(_ element: Element) {
    if head > 0 {
      head -= 1
      elements[head] = element
    } else {
      elements.insert(element, at: 0)
    }
  }
  mutating func removeFirst() -> Element {
    let element = elements[head]
    head += 1
    if head == elements.count {
      removeAll()
    } else if head == 1024 {
      elements.removeFirst(head)
      head = 0
    }
    return element
  }
  mutating func removeAll() {
    elements.removeAll(keepingCapacity: true)
    head = 0
  }
}
