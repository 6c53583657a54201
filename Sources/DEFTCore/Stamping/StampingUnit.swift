import DEFTWire

/// One stamping unit (paper, IV-A): gives each packet its flow's ID and next counter, and ends idle flows in band (R16).
/// Owned by one lcore. Time is an argument.
public struct StampingUnit: ~Copyable {
  public var table: FlowTable
  /// A flow without packets for this long is closed, ns.
  public let idleTimeout: UInt64
  /// Closes under way at most; further idle flows wait. Also the bound of every queue that carries close notices.
  public static let maximumClosing = 1024
  /// Flow generations begun and ended.
  public private(set) var closed: UInt64 = 0
  /// Flow generations that ended because both replicas of their pair were lost; the open ones began anew.
  public internal(set) var restarted: UInt64 = 0
  private var hand = 0
  private var nextSweep: UInt64 = 0
  /// Slots looked at per sweep step; a whole round takes an eighth of the idle time-out.
  private static let sweepStep = 64
  private let sweepInterval: UInt64

  /// - Parameter incarnation: the map's. Beyond 1 the unit takes the place of one that failed, and has no free slot before
  ///   `StampingUnit+Recovery.swift` has found out which may be used.
  public init(
    unit: Int, layout: FlowIDLayout, seed: UInt64, idleTimeout: UInt64, incarnation: UInt32 = 1, memory: TableMemory
  ) {
    table = FlowTable(unit: unit, layout: layout, seed: seed, incarnation: incarnation, memory: memory)
    self.idleTimeout = idleTimeout
    let steps = UInt64(max(1, table.slots.count / StampingUnit.sweepStep))
    sweepInterval = idleTimeout / 8 / steps
  }

  /// Takes the flow's next counter. The caller has made sure that the packet can be sent (R17).
  @inlinable @inline(__always)
  public func take(_ entry: UnsafeMutablePointer<FlowTable.Record>, now: UInt64) -> UInt32 {
    entry.pointee.lastSeen = now
    return entry.pointee.takeCounter()
  }

  /// True when `sweep` has something to do.
  @inlinable @inline(__always)
  public func sweepIsDue(now: UInt64) -> Bool { now >= sweepDue }
  @usableFromInline var sweepDue: UInt64 { nextSweep }

  /// Looks at the next few slots and ends the flows that have been idle. Writes (flow ID, counter) of the close markers
  /// that must now be sent, at most `capacity`; returns how many. Each is a stamped packet like any other.
  public mutating func sweep(now: UInt64, into markers: UnsafeMutablePointer<ClockEntry>, capacity: Int) -> Int {
    var count = 0
    var looked = 0
    while looked < StampingUnit.sweepStep, count < capacity, table.slots.closingCount < StampingUnit.maximumClosing {
      if let entry = table.active(hand), now > entry.pointee.lastSeen, now - entry.pointee.lastSeen >= idleTimeout {
        markers[count] = ClockEntry(flowID: entry.pointee.flowID, next: entry.pointee.nextCounter)
        table.slots.beginClose(entry.pointee.flowID)
        table.remove(hand)
        count += 1
      }
      hand = hand + 1 == table.slots.count ? 0 : hand + 1
      looked += 1
    }
    if looked == StampingUnit.sweepStep { nextSweep = now + sweepInterval }
    return count
  }

  /// The close of `flowID` is committed. False: nobody waited for it.
  public mutating func closeCommitted(_ flowID: UInt32) -> Bool {
    guard table.slots.free(flowID) else { return false }
    closed &+= 1
    return true
  }
}
