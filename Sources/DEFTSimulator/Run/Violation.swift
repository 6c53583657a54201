/// What a run must never show. Each has its checker in `Checkers/`.
public enum Property: String, CaseIterable, Sendable {
  case exactlyOnce = "every passed packet leaves egress exactly once, in flow order (B1)"
  case releasedBeforeVote = "nothing is released before its vote"
  case voteWithoutPackets = "a vote says that the voter holds all that its packet clock covers"
  case packetClock = "a packet clock covers exactly what the primary has taken (R13)"
  case stateClock = "a state clock is a run of exactly the packets that it covers (R3)"
  case owner = "one owner per flow and epoch (B4)"
  case flowOrder = "a flow's packets are released in order (R20)"
  case commitTooEarly = "a commit is sent only when egress has what it covers (R2)"
  case freedTooEarly = "a packet is kept until it is committed (R10)"
  case lostTruly = "what is declared lost was lost on every way, and no replica holds it (R5)"
  case movedState = "the state that moves is a run of exactly the packets that were settled (R11)"
  case oneOwner = "a flow's packets are decided on by the pair that the map names, and no other (R11)"
  case lostStates = "states are given up only when both replicas are gone, and what ended with them is not taken any more"
  case digests = "at rest both replicas' states are those of a sequential run"
  case packetMemory = "every packet is given back exactly once, and not used after that"
  case bounds = "no queue is longer than its bound"
  case slots = "a flow ID returns only after its close is committed (R16)"
  case messages = "no replica sees a message that a correct peer cannot send"
  case liveness = "once nothing fails any more everything comes to its end"
}

/// The first thing that went wrong in a run.
public struct Violation: Sendable {
  public let property: Property
  public let detail: String
  /// Virtual time, ns.
  public let time: UInt64
}
