import DEFTWire

// What tests and reports look at.
extension SecondaryReplica {
  /// Nothing is held, awaited, unvoted or staged.
  public var isQuiescent: Bool {
    heldHead == heldTail && pending.count == 0 && gate.count == 0 && gate.stagedCount == 0 && votedBatch == preparedBatch
  }

  /// What the replica holds of each flow, by index.
  public func forEachFlow(_ body: (FlowState<State>) -> Void) {
    for index in 0..<flows.layout.indexCount where flows[index].pointee.flowID != 0 { body(flows[index].pointee) }
  }

  /// As `PrimaryReplica.digest`, of what the state clocks said.
  public func digest() -> (digest: UInt64, flows: Int) {
    var sum: UInt64 = 0
    var count = 0
    for index in 0..<flows.layout.indexCount {
      let flow = flows[index]
      guard flow.pointee.flowID != 0, !gate.isInert(flow.pointee.flowID) else { continue }
      count += 1
      sum &+= flow.pointee.digest(next: appliedNext[index])
    }
    return (sum, count)
  }
}
