import Testing

@testable import DEFTCore

/// The transition tables of flow groups: in the map, and of whoever leads a move (R11). Prohibited moves included.
@Suite struct GroupMapTests {
  private func map(_ standings: [SecondaryStanding] = [.inSync, .inSync, .inSync]) -> ClusterMap {
    ClusterMap(
      pairs: standings.enumerated().map { index, standing in
        let node = UInt16(10 * index)
        return PairAssignment(
          epoch: 5, primary: NodeID(node), secondary: standing == .none ? nil : NodeID(node + 1), standing: standing,
          policy: .hold, egress: NodeID(999))
      }, groups: 6)
  }
  private func propose(_ map: inout ClusterMap, _ transition: GroupTransition) -> GroupOutcome {
    map.propose(transition, group: 0, ifVersion: map.group(0).version)
  }

  private enum Start: CaseIterable { case settled, moving, inheriting, inheritingFromOne }
  private func map(at start: Start) -> ClusterMap {
    var map = map()
    if start == .settled { return map }
    #expect(propose(&map, .begin(to: 1)) == .accepted)
    if start == .moving { return map }
    #expect(propose(&map, .commit) == .accepted)
    if start == .inheriting { return map }
    #expect(propose(&map, .drained(NodeID(0))) == .accepted)
    return map
  }

  @Test func everyTransitionAndNoOther() {
    let moving = GroupAssignment.Phase.moving(to: 1, sourceEpoch: 5, targetEpoch: 5)
    let inheriting = GroupAssignment.Phase.inheriting(from: 0, primary: NodeID(0), secondary: NodeID(1))
    let (first, second) = (NodeID(0), NodeID(1))
    let fromSecond = GroupAssignment.Phase.inheriting(from: 0, primary: nil, secondary: second)
    let fromFirst = GroupAssignment.Phase.inheriting(from: 0, primary: first, secondary: nil)
    let transitions: [GroupTransition] = [
      .begin(to: 0), .begin(to: 1), .begin(to: 3), .commit, .undo, .drained(first), .drained(second),
      .drained(NodeID(7)),
    ]
    typealias To = (pair: Int, phase: GroupAssignment.Phase)
    let legal: [Start: [(GroupTransition, To)]] = [
      .settled: [(.begin(to: 1), (0, moving))], .moving: [(.commit, (1, inheriting)), (.undo, (0, .settled))],
      .inheriting: [(.drained(first), (1, fromSecond)), (.drained(second), (1, fromFirst))],
      .inheritingFromOne: [(.drained(second), (1, .settled))],
    ]
    for start in Start.allCases {
      for transition in transitions {
        var map = map(at: start)
        let before = map
        let outcome = propose(&map, transition)
        if let (_, to) = legal[start]!.first(where: { $0.0 == transition }) {
          #expect(outcome == .accepted && map.group(0).pair == to.pair && map.group(0).phase == to.phase)
          #expect(map.group(0).version == before.group(0).version + 1)
        } else {
          #expect(outcome != .accepted && map == before, "\(start) \(transition)")
        }
        // Whoever has seen another version changes nothing.
        map = before
        #expect(map.propose(transition, group: 0, ifVersion: 77) == .refused(.otherVersion) && map == before)
      }
    }
    var map = map()
    #expect(map.propose(.commit, group: 6, ifVersion: 1) == .refused(.unknownGroup))
  }

  @Test func movesNeedBothPairsInSync() {
    for (first, second) in [(SecondaryStanding.syncing, SecondaryStanding.inSync), (.inSync, .none)] {
      var map = map([first, second])
      #expect(propose(&map, .begin(to: 1)) == .refused(.standing))
    }
  }

  /// A new epoch of either pair: what is not committed is undone; what is committed goes on without the node that failed.
  @Test(arguments: [0, 1]) func epochEndsMoves(pair: Int) {
    for transition in [MapTransition.primaryFailed(), .secondaryFailed] {
      var moving = map(at: .moving)
      let version = moving.group(0).version
      _ = moving.propose(transition, pair: pair, ifEpoch: 5)
      #expect(moving.group(0).phase == .settled && moving.group(0).pair == 0)
      #expect(moving.propose(.commit, group: 0, ifVersion: version) == .refused(.otherVersion))
      var inheriting = map(at: .inheriting)
      _ = inheriting.propose(transition, pair: pair, ifEpoch: 5)
      let isDead = transition == .secondaryFailed ? NodeID(1) : NodeID(0)
      #expect(inheriting.group(0).pair == 1)
      #expect((propose(&inheriting, .drained(isDead)) == .accepted) == (pair == 1))
    }
    var other = map(at: .moving)
    _ = other.propose(.secondaryFailed, pair: 2, ifEpoch: 5)
    #expect(other.group(0).isMoving && propose(&other, .commit) == .accepted)
  }

  @Test func leaderFollowsTheMap() {
    var map = map()
    var migration = GroupMigration(group: 0, to: 1, map.group(0))
    #expect(migration.giveUp() == .nothing && migration.learn(MoveStatus.complete) == .nothing)
    #expect(propose(&map, migration.begin) == .accepted)
    #expect(migration.learn(map.group(0)) == .tell && migration.learn(map.group(0)) == .nothing)
    #expect(migration.giveUp() == .propose(.undo) && migration.learn(MoveStatus.none) == .propose(.undo))
    for (status, phase) in [(MoveStatus.draining, GroupMigration.Phase.draining), (.sending, .moving), (.draining, .moving)]
    {
      #expect(migration.learn(status) == .nothing && migration.phase == phase)
    }
    #expect(migration.ruleChanged() == .nothing)
    #expect(migration.learn(MoveStatus.complete) == .propose(.commit))
    #expect(propose(&map, .commit) == .accepted)
    #expect(migration.learn(map.group(0)) == .tellAndChangeRule)
    #expect(migration.giveUp() == .nothing && migration.learn(MoveStatus.none) == .nothing)
    #expect(migration.ruleChanged() == .watchDrain && migration.ruleChanged() == .nothing)
    for (node, phase) in [(NodeID(1), GroupMigration.Phase.forwarding), (NodeID(0), .done)] {
      #expect(propose(&map, .drained(node)) == .accepted)
      #expect(migration.learn(map.group(0)) == .tell && migration.phase == phase)
    }
    // One that does not see every entry: moved, and its sources died, before it looked; or begun anew by another.
    var late = GroupMigration(group: 2, to: 0, map.group(2))
    for transition in [late.begin, .commit, .drained(NodeID(20)), .drained(NodeID(21))] {
      #expect(map.propose(transition, group: 2, ifVersion: map.group(2).version) == .accepted)
    }
    #expect(late.learn(map.group(2)) == .tellAndChangeRule && late.phase == .done)
    var overtaken = GroupMigration(group: 4, to: 0, map.group(4))
    _ = map.propose(overtaken.begin, group: 4, ifVersion: 1)
    _ = overtaken.learn(map.group(4))
    _ = map.propose(.undo, group: 4, ifVersion: 2)
    _ = map.propose(.begin(to: 2), group: 4, ifVersion: 3)
    #expect(overtaken.learn(map.group(4)) == .tell && overtaken.phase == .undone)
    var undone = GroupMigration(group: 1, to: 2, map.group(1))
    _ = map.propose(undone.begin, group: 1, ifVersion: undone.version)
    _ = undone.learn(map.group(1))
    _ = map.propose(.secondaryFailed, pair: 2, ifEpoch: 5)
    #expect(undone.learn(map.group(1)) == .tell && undone.phase == .undone && undone.isOver)
  }
}
