import CDPDK
import DEFTCore

/// The switch of one stamping unit: flow group → pair, and one copy of each packet to the pair's primary and its
/// secondary. Copies are references, never bytes. Owned by the unit's lcore, so rules change between bursts and never
/// within one.
struct Switch: ~Copyable {
  /// Flow groups: the low bits of the flow index.
  static let groupCount = 256
  let layout: FlowIDLayout
  /// Group → pair.
  private let rules: UnsafeMutablePointer<UInt16>
  let pairCount: Int
  private let primaries: UnsafeMutablePointer<FabricPath>
  /// Uninitialised without replication.
  private let secondaries: UnsafeMutablePointer<FabricPath>
  let isReplicated: Bool
  /// One burst's packets by pair.
  private let staged: UnsafeMutablePointer<Packet>
  private let stagedCounts: UnsafeMutablePointer<Int>
  /// Packets that may still be sent in this burst, by pair.
  private let credits: UnsafeMutablePointer<Int>

  init(layout: FlowIDLayout, pairCount: Int, isReplicated: Bool, path: (_ pair: Int, _ toPrimary: Bool) -> FabricPath) {
    self.layout = layout
    self.pairCount = pairCount
    self.isReplicated = isReplicated
    rules = .allocate(capacity: Switch.groupCount)
    for group in 0..<Switch.groupCount { rules[group] = UInt16(group % pairCount) }
    primaries = .allocate(capacity: pairCount)
    secondaries = .allocate(capacity: pairCount)
    for pair in 0..<pairCount {
      (primaries + pair).initialize(to: path(pair, true))
      if isReplicated { (secondaries + pair).initialize(to: path(pair, false)) }
    }
    staged = .allocate(capacity: pairCount * StamperStage.burst)
    stagedCounts = .allocate(capacity: pairCount)
    stagedCounts.initialize(repeating: 0, count: pairCount)
    credits = .allocate(capacity: pairCount)
    credits.initialize(repeating: 0, count: pairCount)
  }

  @inline(__always)
  func pair(_ flowID: UInt32) -> Int {
    pairCount == 1 ? 0 : Int(rules[layout.index(flowID) & (Switch.groupCount - 1)])
  }

  /// Reads how much each pair can take; returns the least. `backlogLimit`: never queue more than this at a primary.
  @inline(__always)
  func refreshCredits(backlogLimit: Int) -> Int {
    var least = Int.max
    for pair in 0..<pairCount {
      var credit = min(primaries[pair].credit, backlogLimit - primaries[pair].backlog)
      if isReplicated { credit = min(credit, secondaries[pair].credit) }
      credits[pair] = max(0, credit)
      least = min(least, credits[pair])
    }
    return least
  }

  /// Uses one credit of the pair; false if it has none (R17: then the packet must not be stamped).
  @inline(__always)
  func takeCredit(_ pair: Int) -> Bool {
    guard credits[pair] > 0 else { return false }
    credits[pair] &-= 1
    return true
  }

  /// Sends stamped packets on their ways. Each has a credit.
  @inline(__always)
  mutating func forward(_ packets: UnsafeMutablePointer<Packet>, count: Int) {
    if pairCount == 1 {
      primaries[0].send(packets, count: count)
      if isReplicated { secondaries[0].send(packets, count: count) }
      return
    }
    for i in 0..<count {
      let pair = pair(packets[i].pointee.flowID)
      staged[pair * StamperStage.burst + stagedCounts[pair]] = packets[i]
      stagedCounts[pair] &+= 1
    }
    for pair in 0..<pairCount where stagedCounts[pair] > 0 {
      primaries[pair].send(staged + pair * StamperStage.burst, count: stagedCounts[pair])
      if isReplicated { secondaries[pair].send(staged + pair * StamperStage.burst, count: stagedCounts[pair]) }
      stagedCounts[pair] = 0
    }
  }

  /// The input ran dry: nothing may stay behind in a shuffled block.
  mutating func flush() {
    for pair in 0..<pairCount {
      if primaries[pair].isFaulty { primaries[pair].flush() }
      if isReplicated, secondaries[pair].isFaulty { secondaries[pair].flush() }
    }
  }

  /// Doubles made by fault injection on the ways to primaries and secondaries.
  var duplicated: (primary: UInt64, secondary: UInt64) {
    var sums: (primary: UInt64, secondary: UInt64) = (0, 0)
    for pair in 0..<pairCount {
      sums.primary += primaries[pair].duplicated
      if isReplicated { sums.secondary += secondaries[pair].duplicated }
    }
    return sums
  }
}
