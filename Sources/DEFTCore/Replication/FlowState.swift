import DEFTWire

/// What a replica remembers of one flow, in front of the NF's own state. 32 bytes with a 24-byte NF state in one line,
/// 64 with a 40-byte one.
@frozen
public struct FlowState<State: BitwiseCopyable & Sendable>: BitwiseCopyable {
  /// 0: no flow has used this index yet.
  public var flowID: UInt32
  /// Primary: the paper's `nextExpectedPktID`. Secondary: the counter up to which it holds every packet.
  public var next: UInt32
  /// Counter of the last packet that the NF passed (R1); 0: none.
  public var lastPassed: UInt32
  /// Head of the flow's pendingList (28 bits) and flags.
  @usableFromInline var pendingAndFlags: UInt32
  /// The flow's time, ns (R19).
  public var time: UInt64
  public var state: State

  @usableFromInline static var pendingMask: UInt32 { 0x0fff_ffff }

  /// A flow that begins: nothing seen, nothing passed.
  @inlinable @inline(__always)
  public init(beginning flowID: UInt32, _ state: State) {
    self.flowID = flowID
    next = Stamp.firstCounter
    lastPassed = 0
    pendingAndFlags = 0
    time = 0
    self.state = state
  }

  @inlinable @inline(__always)
  public var pending: UInt32 {
    get { pendingAndFlags & FlowState.pendingMask }
    set { pendingAndFlags = pendingAndFlags & ~FlowState.pendingMask | newValue }
  }
  @inlinable @inline(__always)
  func flag(_ bit: UInt32) -> Bool { pendingAndFlags & bit != 0 }
  @inlinable @inline(__always)
  mutating func set(_ bit: UInt32, _ value: Bool) {
    pendingAndFlags = value ? pendingAndFlags | bit : pendingAndFlags & ~bit
  }
  /// The close marker has been processed; only a later generation may use the index (R16).
  @inlinable @inline(__always)
  public var isClosed: Bool {
    get { flag(1 << 31) }
    set { set(1 << 31, newValue) }
  }
  /// No flow was ever here: both replicas were lost, and every generation before this one is over.
  @inlinable @inline(__always)
  var isFloor: Bool { isClosed && next == Stamp.firstCounter }
  /// Touched by the open batch.
  @inlinable @inline(__always)
  var isInBatch: Bool {
    get { flag(1 << 30) }
    set { set(1 << 30, newValue) }
  }
  /// Touched since the last state clock.
  @inlinable @inline(__always)
  var isInStateClock: Bool {
    get { flag(1 << 29) }
    set { set(1 << 29, newValue) }
  }

  /// Marks the flow as touched by the open batch and since the last state clock. nil: it was already touched by the batch;
  /// otherwise whether it was in the state clock. One load and one store: whatever else is written in between might be
  /// these flags, as far as the compiler knows.
  @inlinable @inline(__always)
  mutating func enterBatch() -> Bool? {
    let flags = pendingAndFlags
    guard flags & 1 << 30 == 0 else { return nil }
    pendingAndFlags = flags | 1 << 30 | 1 << 29
    return flags & 1 << 29 != 0
  }

  /// Order-independent contribution of one flow to a replica's digest.
  public func digest(next: UInt32) -> UInt64 {
    var h: UInt64 = 0xcbf2_9ce4_8422_2325
    func mix(_ value: UInt64) {
      let product = (h ^ value).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
      h = product.high ^ product.low &+ 1
    }
    mix(UInt64(flowID) << 32 | UInt64(next))
    mix(UInt64(lastPassed) << 1 | (isClosed ? 1 : 0))
    mix(time)
    withUnsafeBytes(of: state) { bytes in
      for byte in bytes { mix(UInt64(byte)) }
    }
    return h
  }
}

extension UnsafeMutablePointer {
  /// Flow ID (low half) and `next` in one word, as a packet's `stampWord`: equal to it if the packet is the flow's next.
  @inlinable @inline(__always)
  func nextStampWord<State>() -> UInt64 where Pointee == FlowState<State> {
    UnsafeRawPointer(self).load(as: UInt64.self)
  }
  /// The flow's next packet has come; `word` is its stamp.
  @inlinable @inline(__always)
  func goOn<State>(after word: UInt64) where Pointee == FlowState<State> {
    UnsafeMutableRawPointer(self).storeBytes(of: word &+ 1 << 32, as: UInt64.self)
  }
}

/// A table of flow states, indexed by the flow ID's low bits. Capacity: the flow ID layout's index count.
@frozen
public struct FlowStateTable<State: BitwiseCopyable & Sendable>: Sendable {
  @usableFromInline nonisolated(unsafe) let base: UnsafeMutableRawPointer
  public let layout: FlowIDLayout
  /// Whole cache lines for what is larger than one, so that no entry straddles more lines than it must.
  @inlinable @inline(__always)
  static var entryBytes: Int {
    let size = MemoryLayout<FlowState<State>>.size
    return size <= 32 ? 32 : (size + 63) & ~63
  }

  public init(layout: FlowIDLayout, memory: TableMemory) {
    self.layout = layout
    base = memory(layout.indexCount * Self.entryBytes)
  }

  @inlinable @inline(__always)
  public subscript(index: Int) -> UnsafeMutablePointer<FlowState<State>> {
    (base + index &* Self.entryBytes).assumingMemoryBound(to: FlowState<State>.self)
  }
  @inlinable @inline(__always)
  public func entry(_ flowID: UInt32) -> UnsafeMutablePointer<FlowState<State>> { self[layout.index(flowID)] }
}
