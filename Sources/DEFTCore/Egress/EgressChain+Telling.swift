import DEFTWire

// A new egress begins with what a primary tells it (R12).
extension EgressChain {
  /// The flow's chain goes on behind `entry.last`. Only before anything of the pair was let out: nothing is held.
  ///
  /// A flow of which nothing counts as let out begins with its first packet, as everywhere. It may never come: what no vote
  /// covers dies with the primary that told of it, and the slot's next generation must find no flow here that is open. What is
  /// known for certain is that the generation before is over (`reportSlots`).
  public mutating func begin(_ entry: EgressEntry) {
    let flow = flows + layout.index(entry.flowID)
    precondition(flow.pointee.heldHead == 0, "told of a flow that it has begun already")
    let isUnbegun = entry.last == 0 && entry.isClosed == 0
    flow.pointee =
      isUnbegun
      ? Flow(hadBefore: layout.preceding(entry.flowID))
      : Flow(flowID: entry.flowID, last: entry.last, heldHead: 0, isClosed: entry.isClosed)
  }

  /// The same egress begins anew, because both replicas of the flow's pair were lost: what waits for a predecessor that nobody
  /// has any more is given back, one packet at a time, before `begin`. nil: there is none.
  public mutating func takeAbandoned(flowIndex: Int) -> Packet? {
    let flow = flows + flowIndex
    guard flow.pointee.heldHead != 0 else { return nil }
    abandoned &+= 1
    return heldPackets.removeFirst(&flow.pointee.heldHead)
  }

  /// Counter of the flow's last packet that was let out; 0: none was.
  public func lastLetOut(_ flowID: UInt32) -> UInt32 {
    let flow = flows + layout.index(flowID)
    return flow.pointee.flowID == flowID ? flow.pointee.last : 0
  }

  /// Another attempt to tell: what an earlier one said of the flow does not count. A dead primary may have told of packets
  /// that nobody has, before it came to say what of them was let out.
  public mutating func forgetBeginning(flowIndex: Int) {
    let flow = flows + flowIndex
    precondition(flow.pointee.heldHead == 0, "told again of a flow that it has begun already")
    guard flow.pointee.flowID != 0 else { return }
    // A floor stands, whoever has told of it.
    let isFloor = flow.pointee.last == 0
    flow.pointee = Flow(hadBefore: isFloor ? flow.pointee.flowID : layout.preceding(flow.pointee.flowID))
  }

  /// R16: which generations of the unit's slots have been here, for a unit that takes the place of one that failed, of a pair whose
  /// replicas are both lost. Of the group alone.
  public func reportSlots(unit: Int, _ slots: Range<Int>, group: Int, of groups: Int, _ body: (SlotReport) -> Void) {
    for slot in slots {
      let index = layout.index(layout.first(unit: unit, slot: slot))
      let flow = flows[index]
      guard index & (groups - 1) == group else { continue }
      if flow.flowID != 0 {
        body(SlotReport(flowID: flow.flowID, end: flow.last &+ 1, isEnded: flow.isClosed != 0))
      } else if flow.last != 0 {
        body(SlotReport(flowID: flow.last, end: Stamp.firstCounter, isEnded: true))
      }
    }
  }
}

extension EgressChain.Flow {
  /// No flow is here that goes on; `flowID` is the last that has been. (Without a flow the counter says nothing.)
  fileprivate init(hadBefore flowID: UInt32) { self.init(flowID: 0, last: flowID, heldHead: 0, isClosed: 0) }
}

/// What an egress knows of one pair: where its flows begin (R12).
///
/// | phase | message | to |
/// |---|---|---|
/// | untold | the first of an attempt, of any stream not earlier | being told |
/// | being told | the next of that attempt | being told; told after the last |
/// | being told | one out of order, or of an earlier stream or attempt | unchanged: ignored |
/// | told | any, of its term | told: answered again, nothing changes |
/// | any | one of a later term: both replicas were lost, and the map has this egress begin anew | untold, of that term |
///
/// Prohibited: letting out anything of the pair before *told*; told twice (a successor's clock may be older). What was
/// released to an earlier term is not taken: only by that is it known that a dead primary's packets are not a new one's.
public struct EgressBeginning: Sendable {
  public private(set) var term: UInt32
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

  /// True: the message is of a later term, so that what is here of the pair's packets goes, those that the chain holds
  /// (`EgressChain.takeAbandoned`) when their flows' entries come.
  public mutating func beginsAnew(term: UInt32) -> Bool {
    guard term > self.term else { return false }
    self = EgressBeginning(term: term)
    return true
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
