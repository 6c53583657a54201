import DEFTWire

/// One stamping unit's flows: canonical key → flow ID and next counter. Open addressing over one cache line per entry; an
/// entry's position is its slot and never changes, so the flow ID indexes every later table directly.
///
/// Capacity: `slotCount` slots, of which at most three quarters hold flows. Full, or no place within `maximumProbes`:
/// `find` returns nil and the caller drops the unstamped packet, counted (R17).
public struct FlowTable: ~Copyable {
  @frozen
  public struct Entry: BitwiseCopyable {
    public var key: FlowKey
    /// Stamp time of the last packet, ns.
    public var lastSeen: UInt64
    /// The counter that the next packet gets.
    public var nextCounter: UInt32
    /// Kept when the slot is freed: the next generation counts on from it.
    public var flowID: UInt32
    public var use: Use
  }

  /// | from | to | when |
  /// |---|---|---|
  /// | vacant, freed | active | a new flow's first packet |
  /// | active | closing | idle for too long: the close marker was stamped |
  /// | closing | freed | the close marker's batch was committed |
  /// | closing | vacant | same, and no probe chain runs over the slot |
  ///
  /// Prohibited: closing → active (packets of the flow get a new slot), active → freed (an open generation would be reused).
  @frozen
  public enum Use: UInt32 {
    /// Ends a probe chain.
    case vacant = 0
    case active
    case closing
    /// May be taken, but probe chains go on behind it.
    case freed
  }

  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  public let layout: FlowIDLayout
  public let unit: Int
  public let slotCount: Int
  @usableFromInline let limit: Int
  @usableFromInline let seed: UInt64
  /// Slots that are active or closing.
  public private(set) var occupied = 0
  /// New flows that found no slot.
  public private(set) var refused: UInt64 = 0

  @usableFromInline static let maximumProbes = 96
  @usableFromInline static let entryBytes = 64

  public init(unit: Int, layout: FlowIDLayout, seed: UInt64, memory: TableMemory) {
    precondition(MemoryLayout<Entry>.size <= FlowTable.entryBytes && MemoryLayout<Entry>.stride == FlowTable.entryBytes)
    self.unit = unit
    self.layout = layout
    self.seed = seed
    slotCount = 1 << Int(layout.slotBits)
    limit = slotCount / 4 * 3
    entries = memory(slotCount * FlowTable.entryBytes).bindMemory(to: Entry.self, capacity: slotCount)
  }

  @inlinable @inline(__always)
  public func hash(_ key: FlowKey) -> UInt64 { key.hash(seed: seed) }
  /// The line that `find` will look at first.
  @inlinable @inline(__always)
  public func home(_ hash: UInt64) -> UnsafeMutablePointer<Entry> { entries + Int(truncatingIfNeeded: hash) & (slotCount - 1) }

  /// The flow's entry, made if need be; nil if there is no slot for a new flow.
  @inlinable @inline(__always)
  public mutating func find(_ key: FlowKey, hash: UInt64) -> UnsafeMutablePointer<Entry>? {
    let entry = home(hash)
    if _fastPath(entry.pointee.use == .active && entry.pointee.key == key) { return entry }
    return findFurther(key, hash: hash)
  }

  @inline(never)
  @usableFromInline
  mutating func findFurther(_ key: FlowKey, hash: UInt64) -> UnsafeMutablePointer<Entry>? {
    var slot = Int(truncatingIfNeeded: hash) & (slotCount - 1)
    var candidate = -1
    var probes = 0
    probing: while probes < FlowTable.maximumProbes {
      let entry = entries + slot
      switch entry.pointee.use {
      case .vacant:
        if candidate < 0 { candidate = slot }
        break probing
      case .freed:
        if candidate < 0 { candidate = slot }
      case .active:
        if entry.pointee.key == key { return entry }
      case .closing:
        break
      }
      slot = (slot + 1) & (slotCount - 1)
      probes += 1
    }
    guard candidate >= 0, occupied < limit else {
      refused &+= 1
      return nil
    }
    let entry = entries + candidate
    occupied += 1
    let id = entry.pointee.flowID
    entry.pointee = Entry(
      key: key, lastSeen: 0, nextCounter: Stamp.firstCounter,
      flowID: id == 0 ? layout.first(unit: unit, slot: candidate) : layout.following(id), use: .active)
    return entry
  }

  /// The flow in `slot` if it is active.
  @usableFromInline
  func active(_ slot: Int) -> UnsafeMutablePointer<Entry>? {
    let entry = entries + slot
    return entry.pointee.use == .active ? entry : nil
  }

  /// The close of `flowID` has been committed on both replicas: its slot may carry the next generation.
  /// False if the slot is not waiting for that (a stale or repeated notice).
  public mutating func free(_ flowID: UInt32) -> Bool {
    var slot = layout.slot(flowID)
    let entry = entries + slot
    guard entry.pointee.use == .closing, entry.pointee.flowID == flowID else { return false }
    occupied -= 1
    entry.pointee.use = .freed
    // Slots at the end of a probe chain become vacant again, so that chains do not only grow.
    guard entries[(slot + 1) & (slotCount - 1)].use == .vacant else { return true }
    while entries[slot].use == .freed {
      entries[slot].use = .vacant
      slot = (slot - 1) & (slotCount - 1)
    }
    return true
  }
}
