import DEFTWire

/// What a primary remembers for gap repair. Every table is bounded; what finds no room is counted and comes again.
@usableFromInline
struct PrimaryRepair: ~Copyable {
  var gaps: GapTable
  /// The secondary has reported copies (R4) that the next scan is to look at.
  var hasReports = false
  /// What the secondary has asked for and was not sent yet.
  var wanted: RangeList
  /// What this scan asks for.
  var asking: RangeList
  /// Packets that the secondary sent and that wait for room.
  let repaired: UnsafeMutablePointer<Packet>
  var repairedCount = 0
  var nextScan: UInt64 = 0
  /// Questions to the other replica, and the last one of its.
  var pacing = RepairPacing()
  var asked: UInt64 = 0
  /// When `repairGaps` is to be called next.
  @usableFromInline var next: UInt64

  /// R5: what the open batch declares lost.
  private let lost: UnsafeMutablePointer<PacketRange>
  private let lostCapacity: Int
  @usableFromInline var lostCount = 0
  /// Ranges ever declared; in state clocks taken; in state clocks that the secondary has applied.
  @usableFromInline var lostDeclared: UInt64 = 0
  @usableFromInline var lostClocked: UInt64 = 0
  @usableFromInline var lostApplied: UInt64 = 0

  init(_ configuration: ReplicationConfiguration, memory: TableMemory) {
    gaps = GapTable(capacity: configuration.gaps, memory: memory)
    wanted = RangeList(capacity: ReplicationConfiguration.repairRanges, memory: memory)
    asking = RangeList(capacity: ReplicationConfiguration.repairRanges, memory: memory)
    func table<T>(_ count: Int, _ type: T.Type) -> UnsafeMutablePointer<T> {
      memory(count * MemoryLayout<T>.stride).bindMemory(to: type, capacity: count)
    }
    repaired = table(ReplicationConfiguration.repairBurst, Packet.self)
    lost = table(configuration.lostRanges, PacketRange.self)
    lostCapacity = configuration.lostRanges
    next = configuration.gapTimeout > 0 ? 0 : .max
  }

  /// False while the secondary's table of lost ranges may be full.
  var mayDeclare: Bool { lostCount < lostCapacity && lostDeclared - lostApplied < UInt64(lostCapacity) }

  /// It was brought, and waits for room.
  func hasRepaired(_ flowID: UInt32, _ counter: UInt32) -> Bool {
    for index in 0..<repairedCount
    where repaired[index].pointee.flowID == flowID && repaired[index].pointee.counter == counter { return true }
    return false
  }

  /// What the open batch declares lost, in order.
  func declared(_ index: Int) -> PacketRange { lost[index] }

  mutating func declare(_ range: PacketRange) {
    lost[lostCount] = range
    lostCount += 1
    lostDeclared += 1
  }

  /// Into the prepare, behind the clock entries.
  @usableFromInline
  mutating func writeLost(to bytes: UnsafeMutableRawPointer) {
    for index in 0..<lostCount { lost[index].write(to: bytes + index * PacketRange.byteCount) }
    lostCount = 0
  }

  /// The secondary is gone, or another one: so are its reports, its answers, and what it wanted.
  mutating func forgetSecondary() {
    gaps.forgetOther()
    wanted.removeAll()
    hasReports = false
  }

  /// Nobody has to be told.
  mutating func forgetLost() {
    pacing = RepairPacing()
    lostCount = 0
    lostApplied = lostDeclared
    lostClocked = lostDeclared
  }
}
