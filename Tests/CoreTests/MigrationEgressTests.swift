import DEFTWire
import Testing

@testable import DEFTCore

/// Flow groups move, and egress fails (R11, R12): of each flow the new egress is told by the pair that owns it, and by no other.
@Suite struct MigrationEgressTests {
  private func harness(pairs: Int = 2) -> MigrationHarness {
    var options = HarnessOptions()
    options.replication.batch = 4
    options.replication.window = 8
    options.replication.stateClockPackets = 1000
    options.replication.policy = .release
    options.replication.snapshotChunk = 2
    options.replication.acknowledgeTimeout = 20_000
    options.replication.flowGroups = 4
    options.replication.kept = 64
    options.slots = 16
    return MigrationHarness(options, pairs: pairs)
  }
  private func traffic(_ harness: MigrationHarness, _ rounds: Int = 1) {
    for _ in 0..<rounds {
      for flow in 0..<12 { harness.stamp(flow) }
      harness.pass()
    }
  }
  private func finish(_ harness: MigrationHarness, _ comment: Comment? = nil) {
    harness.settle()
    #expect(harness.violation == nil, comment)
    #expect(harness.transmitted == harness.stamped, comment)
  }
  private func source(_ harness: MigrationHarness) -> UnsafeMutablePointer<MigrationHarness.Primary> {
    harness.seats[0].primary!
  }
  private func target(_ harness: MigrationHarness) -> UnsafeMutablePointer<MigrationHarness.Primary> {
    harness.seats[2].primary!
  }
  private func tells(_ primary: UnsafeMutablePointer<MigrationHarness.Primary>) -> Bool { primary.pointee.tellsEgress }
  private func passUntil(_ harness: MigrationHarness, _ status: MoveStatus) {
    for _ in 0..<60 where source(harness).pointee.moveStatus(of: 0) != status { harness.pass() }
    #expect(source(harness).pointee.moveStatus(of: 0) == status)
  }

  // MARK: the map

  private func map(_ egresses: [UInt16]) -> ClusterMap {
    ClusterMap(
      pairs: egresses.enumerated().map { index, egress in
        let node = UInt16(10 * index)
        return PairAssignment(
          epoch: 5, primary: NodeID(node), secondary: NodeID(node + 1), standing: .inSync, policy: .hold,
          egress: NodeID(egress))
      }, groups: 4)
  }

  /// One change for all the pairs that it was the egress of: none of them can have told of the new one, and another not know yet
  /// that there is one. What moves to or from them stays, and may begin anew at once.
  @Test func aNewEgressEndsMoves() {
    var map = map([900, 900, 901, 901])
    for (group, pair) in [(0, 1), (2, 3)] {
      #expect(map.propose(.begin(to: pair), group: group, ifVersion: 1) == .accepted)
    }
    let other = map.group(2)
    #expect(map.propose(.egressFailed(term: 1, replacement: NodeID(902)), pair: 1, ifEpoch: 5) == .accepted(.tellEgress))
    for pair in 0..<4 {
      #expect(map[pair].egress == NodeID(pair < 2 ? 902 : 901) && map[pair].egressTerm == (pair < 2 ? 2 : 1))
      #expect(map[pair].epoch == 5)
    }
    #expect(map.group(0).phase == .settled && map.group(0).pair == 0 && map.group(0).version == 3)
    #expect(map.group(2) == other)
    #expect(map.propose(.commit, group: 0, ifVersion: 2) == .refused(.otherVersion))
    #expect(map.propose(.begin(to: 1), group: 0, ifVersion: 3) == .accepted)
    #expect(map.propose(.egressFailed(term: 1, replacement: NodeID(902)), pair: 0, ifEpoch: 5) == .refused(.otherEpoch))
    // A replica of any of them is no egress of theirs.
    let before = map
    #expect(map.propose(.egressFailed(term: 2, replacement: NodeID(11)), pair: 0, ifEpoch: 5) == .refused(.occupied))
    #expect(map == before)
  }

  /// The target's egress would know nothing of the group.
  @Test func groupsMoveBetweenPairsOfOneEgress() {
    var map = map([900, 901, 900])
    #expect(map.propose(.begin(to: 1), group: 0, ifVersion: 1) == .refused(.egress) && map.group(0).version == 1)
    #expect(map.propose(.begin(to: 2), group: 0, ifVersion: 1) == .accepted)
  }

  // MARK: the replicas

  /// Everything is at B and B', and B has a new egress to tell: it is not complete before that one knows.
  @Test func theTargetTellsFirst() {
    let harness = harness()
    traffic(harness, 3)
    harness.settle()
    harness.isLed = false
    harness.unheard = [1]
    harness.failEgress()
    harness.begin(0, to: 1)
    passUntil(harness, .sending)
    for _ in 0..<20 { harness.pass() }
    #expect(source(harness).pointee.moveStatus(of: 0) == .sending && tells(target(harness)))
    harness.unheard = []
    passUntil(harness, .complete)
    #expect(!tells(target(harness)))
    finish(harness)
    #expect(harness.outcomes == [.done: 1])
  }

  /// And A does not drain: egress's word, of what it had let out, is not there yet.
  @Test func theSourceTellsFirst() {
    let harness = harness()
    traffic(harness, 3)
    harness.settle()
    harness.isLed = false
    harness.unheard = [0]
    harness.failEgress()
    harness.begin(0, to: 1)
    passUntil(harness, .draining)
    for _ in 0..<20 { harness.pass() }
    #expect(source(harness).pointee.moveStatus(of: 0) == .draining && tells(source(harness)))
    harness.unheard = []
    passUntil(harness, .complete)
    finish(harness)
    #expect(harness.outcomes == [.done: 1])
  }

  /// B has not learnt of the move, nor then of a new egress before it: it may have one to tell, and is not complete.
  @Test func theTargetKnowsOfTheMove() {
    let harness = harness()
    traffic(harness, 3)
    harness.settle()
    harness.isLed = false
    harness.unheard = [1]
    harness.failEgress()
    harness.begin(0, to: 1)
    let notices = harness.seats[2].notices
    harness.seats[2].notices = []
    passUntil(harness, .sending)
    for _ in 0..<20 { harness.pass() }
    #expect(source(harness).pointee.moveStatus(of: 0) == .sending && !tells(target(harness)))
    harness.seats[2].notices = notices
    for _ in 0..<20 { harness.pass() }
    #expect(source(harness).pointee.moveStatus(of: 0) == .sending && tells(target(harness)))
    harness.unheard = []
    passUntil(harness, .complete)
    finish(harness)
  }

  /// What has left A, and what is staged at B, they do not tell of: their entries may say less than has left since, or more.
  @Test func theOwnerTells() {
    let harness = harness()
    traffic(harness, 3)
    harness.settle()
    harness.isLed = false
    func toldGroups(_ primary: UnsafeMutablePointer<MigrationHarness.Primary>) -> Set<Int> {
      var entries = [EgressEntry](repeating: EgressEntry(flowID: 0, last: 0, isClosed: false), count: 64)
      primary.pointee.egressChanged(term: primary.pointee.egressTerm + 1)
      let step = primary.pointee.tellEgress(into: &entries, capacity: entries.count, now: harness.now)
      #expect(step.isComplete)
      primary.pointee.egressTold(term: primary.pointee.egressTerm, byThis: true)
      return Set(entries[..<step.count].map { harness.group($0.flowID) })
    }
    harness.begin(0, to: 1)
    passUntil(harness, .complete)
    #expect(toldGroups(target(harness)) == [1, 3] && toldGroups(source(harness)) == [0, 2])
    harness.propose(.commit, 0)
    for place in [0, 2] { while !harness.seats[place].notices.isEmpty { harness.learn(harness.seats[place]) } }
    // Not cleared yet: that takes some polls.
    #expect(source(harness).pointee.flows.entry(harness.flowID(0)).pointee.flowID != 0)
    #expect(toldGroups(source(harness)) == [2] && toldGroups(target(harness)) == [0, 1, 3])
  }

  // MARK: runs

  /// Egress fails after whichever step of a move, and a replica with it or not: of every flow the next egress is told, from where
  /// it had come; nothing is lost, and nothing leaves twice that is not ambiguous.
  @Test(arguments: [nil, 0, 1, 2, 3] as [Int?]) func egressFailsAtAnyStep(victim: Int?) {
    for steps in 0..<24 {
      for isLate in [false, true] {
        let harness = harness()
        traffic(harness, 3)
        if isLate { harness.settle() }
        harness.begin(0, to: 1)
        for _ in 0..<steps { isLate ? harness.pass() : traffic(harness) }
        harness.unheard = isLate ? [steps % 2] : []
        harness.failEgress()
        traffic(harness, 2)
        if let victim { harness.crash(harness.seats[victim]) }
        traffic(harness, 2)
        harness.begin(0, to: 1)
        traffic(harness, 4)
        harness.unheard = []
        finish(harness, "\(steps) steps\(isLate ? ", late" : "")")
      }
    }
  }

  /// Moves cross, and egress fails now and then, before it was told of the last failure, too.
  @Test func egressFailsAgainAndAgain() {
    var moved = 0
    for seed in 1...UInt64(40) {
      var random = SeededGenerator(seed: seed)
      let harness = harness(pairs: 3)
      traffic(harness, 2)
      for _ in 0..<120 {
        if random.oneIn(3) { harness.begin(random.below(4), to: random.below(3)) }
        if random.oneIn(12) { harness.failEgress() }
        harness.unheard = Set((0..<3).filter { _ in random.oneIn(2) })
        // No more than there is room for.
        harness.bank.live < 60 ? traffic(harness) : harness.pass()
      }
      harness.unheard = []
      finish(harness, "seed \(seed)")
      moved += harness.outcomes[.done] ?? 0
    }
    #expect(moved > 40)
  }
}
