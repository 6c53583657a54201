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
  /// Uninitialised where `hasSecondary` is false.
  private let secondaries: UnsafeMutablePointer<FabricPath>
  /// By pair.
  private let hasSecondary: UnsafeMutablePointer<Bool>
  /// By pair: it has no credit, for it has lost its states, and its new primary does not know which flows are over.
  private let isHalted: UnsafeMutablePointer<Bool>
  let isReplicated: Bool
  private let isShared: Bool
  /// One burst's packets by pair.
  private let staged: UnsafeMutablePointer<Packet>
  private let stagedCounts: UnsafeMutablePointer<Int>
  /// Packets that may still be sent in this burst, by pair.
  private let credits: UnsafeMutablePointer<Int>

  private let loss: PacketLoss
  /// What `loss` has destroyed.
  private(set) var destroyed = PacketLoss.Counts()
  /// Survivors of `loss`, to send.
  private let survivors: UnsafeMutablePointer<Packet>

  init(
    layout: FlowIDLayout, pairCount: Int, isReplicated: Bool, isShared: Bool, loss: PacketLoss,
    path: (_ pair: Int, _ toPrimary: Bool) -> FabricPath
  ) {
    self.layout = layout
    self.pairCount = pairCount
    self.isReplicated = isReplicated
    self.isShared = isShared
    self.loss = loss
    survivors = .allocate(capacity: StamperStage.burst)
    hasSecondary = .allocate(capacity: pairCount)
    hasSecondary.initialize(repeating: isReplicated, count: pairCount)
    isHalted = .allocate(capacity: pairCount)
    isHalted.initialize(repeating: false, count: pairCount)
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
      if hasSecondary[pair] { credit = min(credit, secondaries[pair].credit) }
      credits[pair] = isHalted[pair] ? 0 : max(0, credit)
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
      send(packets, count: count, pair: 0)
      return
    }
    for i in 0..<count {
      let pair = pair(packets[i].pointee.flowID)
      staged[pair * StamperStage.burst + stagedCounts[pair]] = packets[i]
      stagedCounts[pair] &+= 1
    }
    for pair in 0..<pairCount where stagedCounts[pair] > 0 {
      send(staged + pair * StamperStage.burst, count: stagedCounts[pair], pair: pair)
      stagedCounts[pair] = 0
    }
  }

  @inline(__always)
  private mutating func send(_ packets: UnsafeMutablePointer<Packet>, count: Int, pair: Int) {
    if _slowPath(loss.isActive) { return sendSurvivors(packets, count: count, pair: pair) }
    primaries[pair].send(packets, count: count)
    if _fastPath(hasSecondary[pair]) {
      secondaries[pair].send(packets, count: count)
    } else if isReplicated {
      // Nobody takes the secondary's reference.
      cd_release(handles(packets), UInt32(count), 1, isShared)
    }
  }

  @inline(never)
  private mutating func sendSurvivors(_ packets: UnsafeMutablePointer<Packet>, count: Int, pair: Int) {
    let isOnlyWay = !hasSecondary[pair]
    for i in 0..<count where loss.destroys(packets[i], toPrimary: true, isOnlyWay: isOnlyWay) {
      if isOnlyWay || loss.destroys(packets[i], toPrimary: false, isOnlyWay: false) { destroyed.everywhere &+= 1 }
    }
    // The secondary's reference keeps what the primary's side may have freed meanwhile.
    var left = keepSurvivors(
      packets, count: count, toPrimary: true, isOnlyWay: isOnlyWay, references: primaries[pair].references)
    destroyed.toPrimaries &+= UInt64(count - left)
    primaries[pair].send(survivors, count: left)
    if !isOnlyWay {
      left = keepSurvivors(packets, count: count, toPrimary: false, isOnlyWay: false, references: 1)
      destroyed.toSecondaries &+= UInt64(count - left)
      secondaries[pair].send(survivors, count: left)
    } else if isReplicated {
      cd_release(handles(packets), UInt32(count), 1, isShared)
    }
  }

  /// Into `survivors`; the references of the others on this way are given up.
  private func keepSurvivors(
    _ packets: UnsafeMutablePointer<Packet>, count: Int, toPrimary: Bool, isOnlyWay: Bool, references: UInt16
  ) -> Int {
    var left = 0
    for i in 0..<count {
      if loss.destroys(packets[i], toPrimary: toPrimary, isOnlyWay: isOnlyWay) {
        cd_release(handles(packets + i), 1, references, isShared)
      } else {
        survivors[left] = packets[i]
        left += 1
      }
    }
    return left
  }

  /// A new rule, between two bursts: from now on the pair's packets go by these ways. What was sent by the old ones is there
  /// already. `secondary` nil: the pair has none for now.
  mutating func assign(_ pair: Int, primary: consuming FabricPath, secondary: consuming FabricPath?) {
    primaries[pair].flush()
    if hasSecondary[pair] { secondaries[pair].flush() }
    retired.primary &+= primaries[pair].duplicated
    if hasSecondary[pair] { retired.secondary &+= secondaries[pair].duplicated }
    primaries[pair] = primary
    let hadSecondary = hasSecondary[pair]
    if let secondary {
      if hadSecondary { secondaries[pair] = secondary } else { (secondaries + pair).initialize(to: secondary) }
      hasSecondary[pair] = true
    } else {
      if hadSecondary { (secondaries + pair).deinitialize(count: 1) }
      hasSecondary[pair] = false
    }
  }

  /// Between two bursts: nothing more is sent to the pair, or something is again.
  func halt(_ pair: Int, _ isHalted: Bool) { self.isHalted[pair] = isHalted }

  /// Another pair owns the group from now on. What was sent by the old ways is there already.
  mutating func setRule(group: Int, pair: Int) {
    flush()
    rules[group] = UInt16(pair)
  }

  /// The input ran dry: nothing may stay behind in a shuffled block.
  mutating func flush() {
    for pair in 0..<pairCount {
      if primaries[pair].isFaulty { primaries[pair].flush() }
      if hasSecondary[pair], secondaries[pair].isFaulty { secondaries[pair].flush() }
    }
  }

  /// Nothing is being shuffled.
  var isFlushed: Bool {
    (0..<pairCount).allSatisfy { primaries[$0].isFlushed && (!hasSecondary[$0] || secondaries[$0].isFlushed) }
  }

  /// Doubles made on ways that are not used any more.
  private var retired: (primary: UInt64, secondary: UInt64) = (0, 0)
  /// Doubles made by fault injection on the ways to primaries and secondaries.
  var duplicated: (primary: UInt64, secondary: UInt64) {
    var sums = retired
    for pair in 0..<pairCount {
      sums.primary += primaries[pair].duplicated
      if hasSecondary[pair] { sums.secondary += secondaries[pair].duplicated }
    }
    return sums
  }
}
