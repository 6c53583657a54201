import DEFTWire

/// What a secondary remembers for gap repair. Every table is bounded; what finds no room is counted and comes again.
@usableFromInline
struct SecondaryRepair: ~Copyable {
  /// What prepares wait for.
  var gaps: GapTable
  /// R4: flows with old copies that no clock covers, as this scan finds them.
  var uncovered: GapTable
  /// Copies before this place in the hold are older than `oldTime`.
  var oldTail: UInt64 = 0
  var oldTime: UInt64 = 0
  /// What the primary has asked for and was not yet told whether it is here.
  var wanted: RangeList
  /// What is to be sent of it: the first packets of each range, which it can use first, and no more than it has room for.
  var serving: RangeList
  private var servingCount = 0
  /// The log had no room for all of it.
  var retry = false
  var deniesFirst = false
  /// What the last scan found and the primary was not yet asked for, that which the oldest vote waits for first.
  var asking: RangeList
  var mustAsk: Bool { asking.count > 0 }
  var denied: RangeList
  let repaired: UnsafeMutablePointer<Packet>
  var repairedCount = 0
  var nextScan: UInt64 = 0
  /// Questions to the other replica, and the last one of its.
  var pacing = RepairPacing()
  var asked: UInt64 = 0
  @usableFromInline var next: UInt64

  init(_ configuration: ReplicationConfiguration, memory: TableMemory) {
    gaps = GapTable(capacity: configuration.gaps, memory: memory)
    uncovered = GapTable(capacity: configuration.gaps, memory: memory)
    wanted = RangeList(capacity: ReplicationConfiguration.repairRanges, memory: memory)
    serving = RangeList(capacity: ReplicationConfiguration.repairRanges, memory: memory)
    asking = RangeList(capacity: ReplicationConfiguration.repairRanges, memory: memory)
    denied = RangeList(capacity: ReplicationConfiguration.repairRanges, memory: memory)
    let bytes = ReplicationConfiguration.repairBurst * MemoryLayout<Packet>.stride
    repaired = memory(bytes).bindMemory(to: Packet.self, capacity: ReplicationConfiguration.repairBurst)
    next = configuration.gapTimeout > 0 ? 0 : .max
  }

  mutating func serve(_ range: PacketRange) {
    let most = min(ReplicationConfiguration.repairPerRange, ReplicationConfiguration.repairBurst - servingCount)
    let count = min(Int(range.count), most)
    guard count > 0, serving.add(PacketRange(flowID: range.flowID, from: range.from, count: UInt32(count))) else {
      return
    }
    servingCount += count
  }
  mutating func served() {
    serving.removeAll()
    servingCount = 0
  }

  /// The hold was sorted: so many of the copies that stay were old, and they now begin at `start`.
  mutating func sorted(old: Int, from start: UInt64) { oldTail = start + UInt64(old) }
}
