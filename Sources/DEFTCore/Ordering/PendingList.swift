import DEFTWire

/// The paper's `pendingList`: packets that came before their turn, per flow, sorted by counter. All flows of a replica
/// share one pool of nodes; a flow's list hangs on a 1-based node index in its table entry.
///
/// Capacity: `capacity` packets in all and `perFlowLimit` per flow. Full: `insert` refuses and the caller counts the drop.
public struct PendingList: ~Copyable {
  @frozen
  @usableFromInline
  struct Node {
    /// nil: the node is free.
    @usableFromInline var packet: Packet?
    @usableFromInline var counter: UInt32
    @usableFromInline var next: UInt32
    /// Of a list's first node alone: its last node and its length.
    @usableFromInline var tail: UInt32 = 0
    @usableFromInline var length: UInt32 = 1
  }
  @usableFromInline let nodes: UnsafeMutablePointer<Node>
  @usableFromInline var freeHead: UInt32
  public let capacity: Int
  public let perFlowLimit: Int
  /// Packets pending now.
  public private(set) var count = 0
  /// The node of the packet that was inserted last.
  private(set) var lastInserted: UInt32 = 0
  /// Nodes that `drain` has looked at.
  private var drained = 0
  /// The most that were ever in one list.
  public private(set) var longest = 0
  /// The most that were ever pending.
  public private(set) var highWater = 0

  public enum Insertion {
    case inserted
    /// That counter is pending already.
    case duplicate
    case full
  }

  public init(capacity: Int, perFlowLimit: Int, memory: TableMemory) {
    precondition(capacity > 0 && capacity < 1 << 28)
    self.capacity = capacity
    self.perFlowLimit = perFlowLimit
    nodes = memory((capacity + 1) * MemoryLayout<Node>.stride).bindMemory(to: Node.self, capacity: capacity + 1)
    for index in 1...capacity { nodes[index].next = index == capacity ? 0 : UInt32(index + 1) }
    freeHead = 1
  }

  /// Puts `packet` in its place in the list that starts at `head`: at once if it comes behind all others, as nearly all do.
  public mutating func insert(_ packet: Packet, counter: UInt32, head: inout UInt32) -> Insertion {
    var previous: UInt32 = 0
    var current = head
    var length: UInt32 = 0
    if head != 0 {
      let tail = nodes[Int(head)].tail
      length = nodes[Int(head)].length
      if nodes[Int(tail)].counter.isSeriallyBefore(counter) { (previous, current) = (tail, 0) }
    }
    while current != 0, nodes[Int(current)].counter.isSeriallyBefore(counter) {
      previous = current
      current = nodes[Int(current)].next
    }
    if current != 0, nodes[Int(current)].counter == counter { return .duplicate }
    guard freeHead != 0, length < perFlowLimit else { return .full }
    let index = freeHead
    freeHead = nodes[Int(index)].next
    let tail = current == 0 ? index : nodes[Int(head)].tail
    nodes[Int(index)] = Node(packet: packet, counter: counter, next: current)
    if previous == 0 { head = index } else { nodes[Int(previous)].next = index }
    nodes[Int(head)].tail = tail
    nodes[Int(head)].length = length + 1
    lastInserted = index
    count += 1
    highWater = max(highWater, count)
    longest = max(longest, Int(length) + 1)
    return .inserted
  }

  /// Counter of the first packet in the list; `head` is not 0.
  @inlinable @inline(__always)
  public func firstCounter(_ head: UInt32) -> UInt32 { nodes[Int(head)].counter }
  /// The first packet in the list; `head` is not 0.
  @inlinable @inline(__always)
  public func first(_ head: UInt32) -> Packet { nodes[Int(head)].packet.unsafelyUnwrapped }

  /// Takes packets out in no order, without regard to the lists that they are in; only when the list will never be used
  /// again (its owner is gone). Returns how many, at most `capacity`; 0: there are no more.
  mutating func drain(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    var taken = 0
    while drained < self.capacity, taken < capacity {
      drained += 1
      guard let packet = nodes[drained].packet else { continue }
      packets[taken] = packet
      taken += 1
    }
    count -= taken
    return taken
  }

  /// Takes the first packet out; `head` is not 0.
  public mutating func removeFirst(_ head: inout UInt32) -> Packet {
    let index = head
    let node = nodes[Int(index)]
    head = node.next
    if head != 0 {
      nodes[Int(head)].tail = node.tail
      nodes[Int(head)].length = node.length - 1
    }
    nodes[Int(index)].next = freeHead
    nodes[Int(index)].packet = nil
    freeHead = index
    count -= 1
    return node.packet.unsafelyUnwrapped
  }
}
