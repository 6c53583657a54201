/// How far a primary has told a new egress where each flow's chain begins (R12).
///
/// | phase | on | to |
/// |---|---|---|
/// | told | the map names an egress of a later term | flows |
/// | flows | every flow's entry was written, and what the takeover inherited as voted for has been processed | packets |
/// | packets | the output buffer was walked back to what counts as let out | asked |
/// | asked | egress says that it knows; what is ambiguous is counted if it knows it from this primary | told |
/// | asked | no answer for `acknowledgeTimeout`, or the connection was lost | flows |
/// | any | the map names an egress of a later term | flows |
///
/// Prohibited: a release, or an acknowledgement that counts, in any phase but `told`; told without an answer. So what is
/// acknowledged stands still meanwhile, and entries written at different times belong together.
struct EgressTelling {
  enum Phase { case told, flows, packets, asked }
  var phase = Phase.told
  /// The map's; acknowledgements of other terms do not count.
  var term: UInt32 = 1
  /// The next flow index; then the next packet, from the end, with the number of passed packets up to it.
  var index = 0
  var position: UInt64 = 0
  var sequence: UInt64 = 0
  /// Passed packets that may have been sent to the egress before.
  var sent: UInt64 = 0
  /// By a takeover: passed packets that were voted for, which the dead primary may have sent.
  var inherited: UInt64 = 0
  /// When it was asked; and how often it was told from the beginning.
  var since: UInt64 = 0
  var attempt: UInt32 = 0
}

/// What `tellEgress` wrote.
@frozen
public struct EgressTellingStep: Sendable, Equatable {
  public var count = 0
  /// Nothing more: egress now knows all, and may let packets of the pair out.
  public var isComplete = false
}
