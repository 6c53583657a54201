import DEFTWire

/// What one replica knows of one slot of a stamping unit that failed: the latest generation of which it has anything. A
/// replica may report the same slot several times, about its table and about single packets that wait; what counts is what
/// all of it comes to (`merge`).
///
/// **A replica reports only after it has stopped taking packets of the unit's earlier incarnations, and has taken what of
/// them had come before.** Packets that wait are reported before the table: they move into it, never out of it.
@frozen
public struct SlotReport: BitwiseCopyable, Sendable, Equatable {
  /// 0: it knows of no flow.
  public var flowID: UInt32
  /// Behind the last counter of which it has the packet, or had it.
  public var end: UInt32
  /// That packet was the close marker.
  public var isEnded: Bool
  /// The close is committed: nothing of the flow is needed any more.
  public var isCommitted: Bool

  public init(flowID: UInt32, end: UInt32, isEnded: Bool, isCommitted: Bool = false) {
    self.flowID = flowID
    self.end = end
    self.isEnded = isEnded
    self.isCommitted = isCommitted
  }
  /// About one packet.
  public init(_ packet: Packet) {
    let metadata = packet.pointee
    self.init(flowID: metadata.flowID, end: metadata.counter &+ 1, isEnded: metadata.layout.isCloseMarker)
  }

  /// A later generation counts alone; of one generation, what is furthest on.
  mutating func merge(_ other: SlotReport, _ layout: FlowIDLayout) {
    guard flowID == other.flowID else {
      if flowID == 0 || (other.flowID != 0 && layout.isLater(other.flowID, than: flowID)) { self = other }
      return
    }
    if end.isSeriallyBefore(other.end) {
      end = other.end
      isEnded = other.isEnded
    } else if end == other.end {
      isEnded = isEnded || other.isEnded
    }
    isCommitted = isCommitted || other.isCommitted
  }
}
