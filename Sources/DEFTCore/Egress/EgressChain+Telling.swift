import DEFTWire

// A new egress begins with what a primary tells it (R12).
extension EgressChain {
  /// The flow's chain goes on behind `entry.last`. Only before anything of the pair was let out: nothing is held.
  ///
  /// A flow of which nothing counts as let out begins with its first packet, as everywhere. It may never come: what no vote
  /// covers dies with the primary that told of it, and the slot's next generation must find no flow here that is open.
  public mutating func begin(_ entry: EgressEntry) {
    let flow = flows + layout.index(entry.flowID)
    precondition(flow.pointee.heldHead == 0, "told of a flow that it has begun already")
    let isUnbegun = entry.last == 0 && entry.isClosed == 0
    flow.pointee = Flow(
      flowID: isUnbegun ? 0 : entry.flowID, last: entry.last, heldHead: 0, isClosed: entry.isClosed)
  }

  /// Another attempt to tell: what an earlier one said of the flow does not count. A dead primary may have told of packets
  /// that nobody has, before it came to say what of them was let out.
  public mutating func forgetBeginning(flowIndex: Int) {
    let flow = flows + flowIndex
    precondition(flow.pointee.heldHead == 0, "told again of a flow that it has begun already")
    flow.pointee = Flow(flowID: 0, last: 0, heldHead: 0, isClosed: 0)
  }
}

/// What an egress knows of one pair: where its flows begin (R12).
///
/// | phase | message | to |
/// |---|---|---|
/// | untold | the first of an attempt, of any stream not earlier | being told |
/// | being told | the next of that attempt | being told; told after the last |
/// | being told | one out of order, or of an earlier stream or attempt | unchanged: ignored |
/// | told | any, of its term | told: answered again, nothing changes |
///
/// Prohibited: letting out anything of the pair before *told*; told twice (a successor's clock may be older).
public struct EgressBeginning: Sendable {
  public let term: UInt32
  public private(set) var isTold: Bool
  /// Of the primary whose word counts.
  public private(set) var teller: UInt32 = 0
  private var attempt: UInt32 = 0
  private var next: UInt32 = 0

  /// - Parameter term: the map's. The pair's first egress begins with flows that begin.
  public init(term: UInt32) {
    self.term = term
    isTold = term == 1
  }

  /// Message `number` of an attempt. True: its entries count; and if it is the first, those of earlier attempts do not any more
  /// (`EgressChain.forgetBeginning`).
  public mutating func takes(stream: UInt32, attempt: UInt32, number: UInt32) -> Bool {
    guard !isTold, stream >= teller else { return false }
    if number == 0, stream > teller || attempt > self.attempt {
      (teller, self.attempt, next) = (stream, attempt, 1)
      return true
    }
    guard stream == teller, attempt == self.attempt, number == next else { return false }
    next += 1
    return true
  }
  /// That was the last one.
  public mutating func finish() { isTold = true }
}
