import DEFTWire

/// One stamping unit's active flows: canonical key → flow ID and next counter.
///
/// Two arrays. `records` has one cache line per slot, and slots are given out densely by a `SlotPool`, because they index
/// every later table too: few flows touch few pages, however the keys hash. `index` is the hash table, four bytes a position
/// (8 bits of the hash and the slot), open addressing, so that what hashing does spread stays small.
///
/// Capacity: 2^slotBits positions; slots for three quarters of them. No slot, or no place within `maximumProbes`: `find`
/// returns nil and the caller drops the unstamped packet, counted (R17).
public struct FlowTable: ~Copyable {
  @frozen
  public struct Record: BitwiseCopyable {
    public var key: FlowKey
    /// When the last packet was stamped, by the stamping unit's clock, ns.
    public var lastSeen: UInt64
    /// The counter that the next packet gets.
    public var nextCounter: UInt32
    /// 0: no flow is active in the slot.
    public var flowID: UInt32
    /// Where the index points to this record.
    @usableFromInline var position: UInt32

    /// The flow's next counter is used up.
    @inlinable @inline(__always)
    public mutating func takeCounter() -> UInt32 {
      let counter = nextCounter
      nextCounter = counter &+ 1
      return counter
    }
  }

  /// An index word: tag (8 bits) | slot + 1 (24 bits); 0 in the low bits: no slot.
  ///
  /// | from | to | when |
  /// |---|---|---|
  /// | vacant, freed | a slot | a new flow's first packet |
  /// | a slot | freed | the flow was idle for too long; its slot stays taken until the close is committed |
  /// | a slot | vacant | same, and no probe chain runs over the position |
  @usableFromInline let index: UnsafeMutablePointer<UInt32>
  @usableFromInline static let vacant: UInt32 = 0
  @usableFromInline static let freed: UInt32 = 0xff00_0000
  @usableFromInline static let slotMask: UInt32 = 0x00ff_ffff

  /// By slot. In front of the first lies one that no key equals: what a word without a slot points to.
  @usableFromInline let records: UnsafeMutablePointer<Record>
  public let positionCount: Int
  @usableFromInline let seed: UInt64
  public var slots: SlotPool
  /// New flows that found no place.
  public private(set) var refused: UInt64 = 0

  @usableFromInline static let maximumProbes = 128

  public init(unit: Int, layout: FlowIDLayout, seed: UInt64, incarnation: UInt32 = 1, memory: TableMemory) {
    precondition(MemoryLayout<Record>.stride == 64)
    self.seed = seed
    positionCount = 1 << Int(layout.slotBits)
    index = memory(positionCount * 4).bindMemory(to: UInt32.self, capacity: positionCount)
    let slotCount = max(1, positionCount / 4 * 3)
    records = memory((slotCount + 1) * 64).bindMemory(to: Record.self, capacity: slotCount + 1) + 1
    slots = SlotPool(unit: unit, layout: layout, count: slotCount, incarnation: incarnation, memory: memory)
  }

  /// What looking up needs, as a value: a loop keeps it in registers.
  @frozen
  public struct Lookup: BitwiseCopyable {
    @usableFromInline let index: UnsafeMutablePointer<UInt32>
    @usableFromInline let records: UnsafeMutablePointer<Record>
    @usableFromInline let mask: Int
    @usableFromInline let seed: UInt64

    @inlinable @inline(__always)
    init(_ index: UnsafeMutablePointer<UInt32>, _ records: UnsafeMutablePointer<Record>, _ mask: Int, _ seed: UInt64) {
      self.index = index
      self.records = records
      self.mask = mask
      self.seed = seed
    }

    @inlinable @inline(__always)
    public func hash(_ key: FlowKey) -> UInt64 { key.hash(seed: seed) }
    @inlinable @inline(__always)
    public func hash(_ words: FlowKey.IPv4Words) -> UInt64 { words.hash(seed: seed) }
    @inlinable @inline(__always)
    func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & mask }

    /// The index line that `find` looks at first: wanted some time before.
    @inlinable @inline(__always)
    public func indexLine(_ hash: UInt64) -> UnsafeRawPointer { UnsafeRawPointer(index + home(hash)) }
    /// The record of the flow if it is where it is looked for first. Whether it is, its key tells: wanted some time before,
    /// and after the index line.
    @inlinable @inline(__always)
    public func candidate(_ hash: UInt64) -> UnsafeMutablePointer<Record> {
      records + (Int(index[home(hash)] & FlowTable.slotMask) &- 1)
    }
  }

  @inlinable @inline(__always)
  public var lookup: Lookup { Lookup(index, records, positionCount &- 1, seed) }

  @inlinable @inline(__always)
  static func tag(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 32) & ~slotMask }

  /// The flow's record, made if need be; nil if there is no place for a new flow.
  public mutating func find(_ key: UnsafePointer<FlowKey>, hash: UInt64) -> UnsafeMutablePointer<Record>? {
    let candidate = lookup.candidate(hash)
    return _fastPath(candidate.pointee.key == key.pointee) ? candidate : findFurther(key.pointee, hash: hash)
  }

  /// As `find`, for a flow that is not where it was looked for first.
  @inline(never)
  public mutating func findFurther(_ key: FlowKey, hash: UInt64) -> UnsafeMutablePointer<Record>? {
    var position = lookup.home(hash)
    let tag = FlowTable.tag(hash)
    var candidate = -1
    var probes = 0
    while probes < FlowTable.maximumProbes {
      let word = index[position]
      if word == FlowTable.vacant {
        if candidate < 0 { candidate = position }
        break
      }
      if word == FlowTable.freed {
        if candidate < 0 { candidate = position }
      } else if word & ~FlowTable.slotMask == tag {
        let record = records + Int(word & FlowTable.slotMask) - 1
        if record.pointee.key == key { return record }
      }
      position = (position + 1) & (positionCount - 1)
      probes += 1
    }
    guard candidate >= 0, let flowID = slots.take() else {
      refused &+= 1
      return nil
    }
    let slot = slots.layout.slot(flowID)
    index[candidate] = tag | UInt32(slot + 1)
    records[slot] = Record(
      key: key, lastSeen: 0, nextCounter: Stamp.firstCounter, flowID: flowID, position: UInt32(candidate))
    return records + slot
  }

  /// The flow in `slot` if one is active there.
  func active(_ slot: Int) -> UnsafeMutablePointer<Record>? {
    let record = records + slot
    return record.pointee.flowID != 0 ? record : nil
  }

  /// Of the slot's last flow, be it forgotten.
  func nextCounter(_ slot: Int) -> UInt32 { records[slot].nextCounter }

  /// Forgets the flow in `slot`, which stays taken until `slots` is told that it is free.
  mutating func remove(_ slot: Int) {
    var position = Int(records[slot].position)
    records[slot].flowID = 0
    index[position] = FlowTable.freed
    // Positions at the end of a probe chain become vacant again, so that chains do not only grow.
    guard index[(position + 1) & (positionCount - 1)] == FlowTable.vacant else { return }
    while index[position] == FlowTable.freed {
      index[position] = FlowTable.vacant
      position = (position - 1) & (positionCount - 1)
    }
  }
}
