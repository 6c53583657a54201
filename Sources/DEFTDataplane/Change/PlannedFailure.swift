/// A failure that `deft replay` makes on purpose.
public struct PlannedFailure: Sendable, Equatable {
  public enum Victim: String, Sendable {
    case primary
    case secondary
    /// Both replicas at once: the flows' states are lost, and they begin anew.
    case pair
  }
  public var victim: Victim
  /// It happens when so many packets have been stamped.
  public var packet: UInt64
  /// Whose replica dies.
  public var pair: Int

  /// Hosts that take the places of those that fail.
  var newHosts: Int { victim == .pair ? 2 : 1 }

  public init(_ victim: Victim, at packet: UInt64, pair: Int) {
    self.victim = victim
    self.packet = packet
    self.pair = pair
  }
}

/// How a failure went.
public struct FailureRecord: Sendable {
  public var failure: PlannedFailure
  /// Epoch that the group had afterwards, with its new secondary.
  public var epoch: UInt32 = 0
  /// Copies that the new primary had to process again.
  public var copies = 0
  /// Both replicas failed: flows that ended and began anew, and packets of theirs that were stamped and never left (those that
  /// the NF would have dropped among them).
  public var restartedFlows: UInt64 = 0
  public var lostPackets: UInt64 = 0
  /// ns from the order to take over until the new primary had processed what was voted for.
  public var takeover: UInt64 = 0
  /// ns from the crash until a new secondary was in sync.
  public var unprotected: UInt64 = 0
  /// ns: the longest that a packet took from stamp to release meanwhile; 0 if latencies are not measured.
  public var longestLatency: UInt64 = 0
  /// The same while the new secondary got its snapshot and caught up, ns: without the time that the failure went unnoticed.
  public var longestSyncLatency: UInt64 = 0
}
