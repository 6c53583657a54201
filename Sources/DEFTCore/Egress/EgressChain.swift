import DEFTWire

/// What egress does with a released packet.
@frozen
public enum EgressDecision: Sendable {
  /// It is the flow's next: transmit it.
  case transmit
  /// The flow's generation ends here; there is nothing to transmit.
  case forget
  /// It was out already: give it back.
  case suppress
  /// A packet before it is still missing: egress keeps it.
  case hold
  /// As `hold`, but there is no room: give it back; the releaser still has it and will send it again (R2).
  case refuse
}

/// Follows each flow's chain of passed counters (R1): a released packet names the flow's previous passed counter, so a
/// packet that the NF dropped and one that is merely late look different. Every passed packet leaves once, in flow order (B1).
///
/// | the packet's previous passed | its counter | decision |
/// |---|---|---|
/// | is the last let out | any | transmit |
/// | is not | at or below the last let out | suppress |
/// | is not | later | hold, bounded |
///
/// Pure. Owned by one lcore. Capacity: one entry per flow index; `holdCapacity` packets in all.
public struct EgressChain<Storage: PacketStorage>: ~Copyable {
  @frozen @usableFromInline
  struct Flow: BitwiseCopyable {
    @usableFromInline var flowID: UInt32
    /// Counter of the last packet let out; at first the one before the first counter. Without a flow: its last one's ID.
    @usableFromInline var last: UInt32
    /// Head of the flow's held packets.
    @usableFromInline var heldHead: UInt32
    @usableFromInline var isClosed: UInt32
  }
  @usableFromInline let flows: UnsafeMutablePointer<Flow>
  public let layout: FlowIDLayout
  @usableFromInline var heldPackets: PendingList
  /// By node of `heldPackets`: which release the packet came with.
  private let tags: UnsafeMutablePointer<ReleaseTag>
  /// The release that the packet returned last by `nextHeld` came with.
  public private(set) var tagOfLastHeld = ReleaseTag(pair: 0, stream: 0, sequence: 0)
  public private(set) var transmitted: UInt64 = 0
  public private(set) var forgotten: UInt64 = 0
  public private(set) var suppressed: UInt64 = 0
  public private(set) var everHeld: UInt64 = 0
  public private(set) var refused: UInt64 = 0
  public private(set) var staleGeneration: UInt64 = 0
  /// Held packets given back because their predecessors were lost with both replicas.
  public internal(set) var abandoned: UInt64 = 0

  public init(layout: FlowIDLayout, holdCapacity: Int, memory: TableMemory) {
    self.layout = layout
    flows = memory(layout.indexCount * MemoryLayout<Flow>.stride).bindMemory(to: Flow.self, capacity: layout.indexCount)
    heldPackets = PendingList(capacity: holdCapacity, perFlowLimit: holdCapacity, memory: memory)
    tags = memory((holdCapacity + 1) * MemoryLayout<ReleaseTag>.stride).bindMemory(
      to: ReleaseTag.self, capacity: holdCapacity + 1)
  }

  /// Packets held now.
  public var heldCount: Int { heldPackets.count }

  /// The line that `decide` will look at.
  @inlinable @inline(__always)
  public func prefetch(_ packet: Packet) { Storage.prefetch(flows + layout.index(packet.pointee.flowID)) }

  /// Decides on one released packet. After `transmit` and `forget`, ask `nextHeld` until it has nothing more.
  @inlinable @inline(__always)
  public mutating func decide(_ packet: Packet) -> EgressDecision {
    let flow = flows + layout.index(packet.pointee.flowID)
    if _fastPath(
      flow.pointee.flowID == packet.pointee.flowID && flow.pointee.last == packet.pointee.previousPassed
        && !packet.pointee.layout.isCloseMarker)
    {
      flow.pointee.last = packet.pointee.counter
      countTransmitted()
      return .transmit
    }
    return decideFurther(packet, flow)
  }

  @usableFromInline @inline(__always)
  mutating func countTransmitted(_ count: Int = 1) { transmitted &+= UInt64(truncatingIfNeeded: count) }

  /// How many of `packets`, from the first on, are to be transmitted and let nothing else go: nearly always all `count`. What
  /// stands behind them is `decide`'s.
  @inlinable @inline(__always)
  public mutating func decidePlain(_ packets: UnsafePointer<Packet>, count: Int) -> Int {
    // Local copies: what is written to a flow might be these, as far as the compiler knows.
    let (flows, mask) = (flows, layout.indexMask)
    var decided = 0
    while decided < count {
      let packet = packets[decided]
      let flow = flows + Int(packet.pointee.flowID & mask)
      guard
        _fastPath(
          flow.pointee.flowID == packet.pointee.flowID && flow.pointee.last == packet.pointee.previousPassed
            && flow.pointee.heldHead == 0 && !packet.pointee.layout.isCloseMarker)
      else { break }
      flow.pointee.last = packet.pointee.counter
      decided &+= 1
    }
    countTransmitted(decided)
    return decided
  }

  @inline(never)
  @usableFromInline
  mutating func decideFurther(_ packet: Packet, _ flow: UnsafeMutablePointer<Flow>) -> EgressDecision {
    let flowID = packet.pointee.flowID
    if flow.pointee.flowID != flowID {
      guard
        flow.pointee.flowID == 0 || (flow.pointee.isClosed != 0 && layout.isLater(flowID, than: flow.pointee.flowID))
      else {
        staleGeneration &+= 1
        suppressed &+= 1
        return .suppress
      }
      flow.pointee = Flow(flowID: flowID, last: 0, heldHead: 0, isClosed: 0)
    }
    let counter = packet.pointee.counter
    // A packet whose predecessor is the last one out has not been out itself, however many the NF dropped between them.
    if packet.pointee.previousPassed == flow.pointee.last {
      flow.pointee.last = counter
      guard packet.pointee.layout.isCloseMarker else {
        transmitted &+= 1
        return .transmit
      }
      flow.pointee.isClosed = 1
      forgotten &+= 1
      return .forget
    }
    guard flow.pointee.last.isSeriallyBefore(counter) else {
      suppressed &+= 1
      return .suppress
    }
    switch heldPackets.insert(packet, counter: counter, head: &flow.pointee.heldHead) {
    case .inserted:
      everHeld &+= 1
      return .hold
    case .duplicate:
      suppressed &+= 1
      return .suppress
    case .full:
      refused &+= 1
      return .refuse
    }
  }

  /// After `hold`: which release the packet came with, so that it can be acknowledged when it leaves (R2).
  public mutating func tagHeld(_ tag: ReleaseTag) { tags[Int(heldPackets.lastInserted)] = tag }

  /// The next held packet of the flow that `packet` let go on, if any: it is to be transmitted, or forgotten if it is a
  /// close marker.
  @inlinable @inline(__always)
  public mutating func nextHeld(after packet: Packet) -> Packet? {
    let flow = flows + layout.index(packet.pointee.flowID)
    guard _slowPath(flow.pointee.heldHead != 0) else { return nil }
    return takeHeld(flow)
  }

  @inline(never)
  @usableFromInline
  mutating func takeHeld(_ flow: UnsafeMutablePointer<Flow>) -> Packet? {
    let packet = heldPackets.first(flow.pointee.heldHead)
    guard packet.pointee.previousPassed == flow.pointee.last else { return nil }
    tagOfLastHeld = tags[Int(flow.pointee.heldHead)]
    _ = heldPackets.removeFirst(&flow.pointee.heldHead)
    flow.pointee.last = packet.pointee.counter
    if packet.pointee.layout.isCloseMarker {
      flow.pointee.isClosed = 1
      forgotten &+= 1
    } else {
      transmitted &+= 1
    }
    return packet
  }
}
