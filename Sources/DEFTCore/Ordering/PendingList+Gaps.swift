import DEFTWire

// What is missing between the packets that wait.
extension PendingList {
  /// Nodes that may be in use: 1 … this. Free nodes are handed out last in, first out, so no other was ever used.
  var usedNodes: Int { highWater }
  /// The packet in a node, or nil if the node is free.
  func packet(at node: Int) -> Packet? { nodes[node].packet }

  /// Calls `body` with each range of counters in `range` of which no packet is in the list that starts at `head`.
  func holes(_ head: UInt32, in range: PacketRange, _ body: (PacketRange) -> Void) {
    var at = range.from
    var node = head
    while at.isSeriallyBefore(range.end) {
      while node != 0, nodes[Int(node)].counter.isSeriallyBefore(at) { node = nodes[Int(node)].next }
      guard node != 0, nodes[Int(node)].counter.isSeriallyBefore(range.end) else {
        return body(PacketRange(flowID: range.flowID, from: at, end: range.end))
      }
      let counter = nodes[Int(node)].counter
      if counter != at { body(PacketRange(flowID: range.flowID, from: at, end: counter)) }
      at = counter &+ 1
    }
  }

  /// Whether one more packet would find room in the list that starts at `head`.
  func hasRoom(_ head: UInt32) -> Bool { freeHead != 0 && (head == 0 || nodes[Int(head)].length < perFlowLimit) }

  /// Counter of the last packet in the list; `head` is not 0.
  func lastCounter(_ head: UInt32) -> UInt32 { nodes[Int(nodes[Int(head)].tail)].counter }

  /// Calls `body` with the packets of the list that starts at `head`, in order, until it says false.
  func forEach(_ head: UInt32, _ body: (Packet, UInt32) -> Bool) {
    var node = head
    while node != 0, let packet = nodes[Int(node)].packet, body(packet, nodes[Int(node)].counter) {
      node = nodes[Int(node)].next
    }
  }
}
