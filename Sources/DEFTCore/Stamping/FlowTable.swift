import DEFTWire

/// One stamping unit's active flows: canonical key → flow ID and next counter. Open addressing over one cache line per
/// entry. Slots, which index every later table, are given out densely by a `SlotPool`, so that few flows touch few pages
/// downstream however the keys hash.
///
/// Capacity: `positionCount` entries; the pool has slots for three quarters of them. No slot, or no place within
/// `maximumProbes`: `find` returns nil and the caller drops the unstamped packet, counted (R17).
public struct FlowTable: ~Copyable {
  @frozen
  public struct Entry: BitwiseCopyable {
    public var key: FlowKey
    /// Stamp time of the last packet, ns.
    public var lastSeen: UInt64
    /// The counter that the next packet gets.
    public var nextCounter: UInt32
    public var flowID: UInt32
    public var use: Use
  }

  /// | from | to | when |
  /// |---|---|---|
  /// | vacant, freed | active | a new flow's first packet |
  /// | active | freed | the flow was idle for too long; its slot stays taken until the close is committed |
  /// | active | vacant | same, and no probe chain runs over the entry |
  @frozen
  public enum Use: UInt32 {
    /// Ends a probe chain.
    case vacant = 0
    case active
    /// May be taken, but probe chains go on behind it.
    case freed
  }

  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  public let positionCount: Int
  @usableFromInline let seed: UInt64
  public var slots: SlotPool
  /// New flows that found no place.
  public private(set) var refused: UInt64 = 0

  @usableFromInline static let maximumProbes = 96
  @usableFromInline static let entryBytes = 64

  public init(unit: Int, layout: FlowIDLayout, seed: UInt64, memory: TableMemory) {
    precondition(MemoryLayout<Entry>.size <= FlowTable.entryBytes && MemoryLayout<Entry>.stride == FlowTable.entryBytes)
    self.seed = seed
    positionCount = 1 << Int(layout.slotBits)
    entries = memory(positionCount * FlowTable.entryBytes).bindMemory(to: Entry.self, capacity: positionCount)
    slots = SlotPool(unit: unit, layout: layout, count: max(1, positionCount / 4 * 3), memory: memory)
  }

  @inlinable @inline(__always)
  public func hash(_ key: FlowKey) -> UInt64 { key.hash(seed: seed) }
  /// The line that `find` will look at first.
  @inlinable @inline(__always)
  public func home(_ hash: UInt64) -> UnsafeMutablePointer<Entry> {
    entries + Int(truncatingIfNeeded: hash) & (positionCount &- 1)
  }

  /// The flow's entry, made if need be; nil if there is no place for a new flow.
  @inlinable @inline(__always)
  public mutating func find(_ key: UnsafePointer<FlowKey>, hash: UInt64) -> UnsafeMutablePointer<Entry>? {
    let entry = home(hash)
    if _fastPath(entry.pointee.use == .active && entry.pointee.key == key.pointee) { return entry }
    return findFurther(key.pointee, hash: hash)
  }

  @inline(never)
  @usableFromInline
  mutating func findFurther(_ key: FlowKey, hash: UInt64) -> UnsafeMutablePointer<Entry>? {
    var position = Int(truncatingIfNeeded: hash) & (positionCount - 1)
    var candidate = -1
    var probes = 0
    probing: while probes < FlowTable.maximumProbes {
      let entry = entries + position
      switch entry.pointee.use {
      case .vacant:
        if candidate < 0 { candidate = position }
        break probing
      case .freed:
        if candidate < 0 { candidate = position }
      case .active:
        if entry.pointee.key == key { return entry }
      }
      position = (position + 1) & (positionCount - 1)
      probes += 1
    }
    guard candidate >= 0, let flowID = slots.take() else {
      refused &+= 1
      return nil
    }
    entries[candidate] = Entry(key: key, lastSeen: 0, nextCounter: Stamp.firstCounter, flowID: flowID, use: .active)
    return entries + candidate
  }

  /// The flow at `position` if one is active there.
  func active(_ position: Int) -> UnsafeMutablePointer<Entry>? {
    let entry = entries + position
    return entry.pointee.use == .active ? entry : nil
  }

  /// Forgets the flow at `position`. Its slot stays taken: `slots` has to be told when it is free.
  mutating func remove(_ position: Int) {
    entries[position].use = .freed
    // Entries at the end of a probe chain become vacant again, so that chains do not only grow.
    guard entries[(position + 1) & (positionCount - 1)].use == .vacant else { return }
    var last = position
    while entries[last].use == .freed {
      entries[last].use = .vacant
      last = (last - 1) & (positionCount - 1)
    }
  }
}
