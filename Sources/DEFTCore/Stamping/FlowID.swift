/// How a 32-bit flow ID is divided. Stamping units own disjoint ranges (paper, IV-A); the generation makes a reused slot a
/// new flow (R16); the low bits index every per-flow table directly, so only the stamper ever hashes.
///
/// ```
/// | generation (the rest) | unit | slot |
///                         |--- index ---|
/// ```
@frozen
public struct FlowIDLayout: Equatable, Sendable {
  public let unitBits: UInt32
  public let slotBits: UInt32
  /// Ones where the index is: kept, because every packet needs it at every stage.
  public let indexMask: UInt32

  /// At least nine bits of generation, so that a slot returns to a flow ID only after 511 committed closes.
  public static let maximumIndexBits: UInt32 = 23

  /// - Parameters: units: stamping units, 1...; slotsPerUnit: a power of two.
  public init(units: Int, slotsPerUnit: Int) {
    precondition(units >= 1 && slotsPerUnit > 0 && slotsPerUnit & (slotsPerUnit - 1) == 0)
    var bits: UInt32 = 0
    while 1 << bits < units { bits += 1 }
    unitBits = bits
    slotBits = UInt32(slotsPerUnit.trailingZeroBitCount)
    precondition(unitBits + slotBits <= FlowIDLayout.maximumIndexBits)
    indexMask = 1 << (unitBits + slotBits) - 1
  }

  /// Size of a table indexed by flow.
  @inlinable @inline(__always)
  public var indexCount: Int { 1 << Int(unitBits + slotBits) }
  @inlinable @inline(__always)
  public func index(_ flowID: UInt32) -> Int { Int(flowID & indexMask) }
  @inlinable @inline(__always)
  public func unit(_ flowID: UInt32) -> Int { Int(flowID >> slotBits & (1 << unitBits - 1)) }
  @inlinable @inline(__always)
  public func slot(_ flowID: UInt32) -> Int { Int(flowID & (1 << slotBits - 1)) }
  @inlinable @inline(__always)
  public func generation(_ flowID: UInt32) -> UInt32 { flowID >> (unitBits + slotBits) }

  /// The first flow ID of a slot. Generations run from 1 so that no flow ID is 0.
  @inlinable
  public func first(unit: Int, slot: Int) -> UInt32 {
    1 << (unitBits + slotBits) | UInt32(unit) << slotBits | UInt32(slot)
  }
  /// The same slot's next generation.
  @inlinable
  public func following(_ flowID: UInt32) -> UInt32 {
    let step: UInt32 = 1 << (unitBits + slotBits)
    let next = flowID &+ step
    return next >= step ? next : next &+ step
  }
  /// The same slot's generation before.
  @inlinable
  public func preceding(_ flowID: UInt32) -> UInt32 {
    let step: UInt32 = 1 << (unitBits + slotBits)
    return flowID >= 2 * step ? flowID &- step : flowID &- 2 * step
  }
  /// The slot's generation `count` generations on; `count` is less than half of all generations, so it is later.
  func skipping(_ flowID: UInt32, by count: UInt32) -> UInt32 {
    precondition(count < 1 << (31 - unitBits - slotBits), "it would count as earlier")
    var next = flowID
    for _ in 0..<count { next = following(next) }
    return next
  }
  /// True if `flowID` is of a later generation of its slot than `other` (serial arithmetic on the generation's bits).
  @inlinable
  public func isLater(_ flowID: UInt32, than other: UInt32) -> Bool {
    // Compares the generations as the top bits of a signed word.
    let shift = unitBits + slotBits
    return Int32(bitPattern: (generation(flowID) &- generation(other)) << shift) > 0
  }
}
