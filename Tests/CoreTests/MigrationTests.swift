import DEFTWire
import Testing

@testable import DEFTCore

/// Flow groups move between pairs (R8, R11; paper, V).
@Suite struct MigrationTests {
  private func harness(pairs: Int = 2, _ change: (inout HarnessOptions) -> Void = { _ in }) -> MigrationHarness {
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
    change(&options)
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

  @Test func groupMovesWhilePacketsFlow() {
    let harness = harness()
    traffic(harness, 3)
    #expect(harness.begin(0, to: 1) == .accepted)
    traffic(harness, 30)
    finish(harness)
    #expect(harness.outcomes == [.done: 1] && harness.map.group(0).pair == 1)
    let (source, target) = (harness.seats[0].primary!, harness.seats[2].primary!)
    let (given, taken) = (source.pointee.counters.migration, target.pointee.counters.migration)
    #expect(given.forwarded > 0 && taken.entriesStaged == 3)
    let flows = (source.pointee.digest().flows, target.pointee.digest().flows)
    #expect(flows == (3, 9))
  }

  @Test func movesThereAndBack() {
    let harness = harness(pairs: 3)
    traffic(harness, 2)
    for target in [1, 2, 0, 1] {
      #expect(harness.begin(0, to: target) == .accepted)
      traffic(harness, 30)
      harness.settle()
    }
    finish(harness)
    #expect(harness.outcomes == [.done: 4])
  }

  /// g: A → B while h: B → C and i: C → A.
  @Test func movesCross() {
    let harness = harness(pairs: 3)
    traffic(harness, 2)
    for group in 0..<3 { #expect(harness.begin(group, to: (group + 1) % 3) == .accepted) }
    traffic(harness, 30)
    finish(harness)
    #expect(harness.outcomes == [.done: 3])
  }

  @Test func allGroupsAtATime() {
    let harness = harness { $0.replication.flowGroups = 16 }
    traffic(harness, 2)
    for group in 0..<16 where group % 2 == 0 { #expect(harness.begin(group, to: 1) == .accepted) }
    traffic(harness, 40)
    finish(harness)
    #expect(harness.outcomes == [.done: 8])
    #expect(harness.seats[0].primary!.pointee.digest().flows == 0)
  }

  /// Fewer flow indices than groups: a group is the low bits of the index, never of the generation.
  @Test func moreGroupsThanFlows() {
    let harness = harness {
      $0.slots = 4
      $0.replication.flowGroups = 16
    }
    for _ in 0..<3 { for flow in 0..<3 { harness.stamp(flow) } }
    for group in 0..<16 where group % 2 == 0 { #expect(harness.begin(group, to: 1) == .accepted) }
    for _ in 0..<3 {
      for flow in 0..<3 { harness.stamp(flow) }
      harness.pass()
    }
    finish(harness)
    #expect(harness.outcomes == [.done: 8])
    #expect(harness.seats[2].primary!.pointee.digest().flows == 3)
  }

  /// Whatever replica fails after whichever step: the move is made or undone, nothing is lost, and no state is in two places.
  @Test(arguments: [0, 1, 2, 3]) func replicaFailsAtAnyStep(victim: Int) {
    for steps in 0..<24 {
      for isQuiet in [false, true] {
        let harness = harness()
        traffic(harness, 3)
        harness.settle()
        harness.begin(0, to: 1)
        for _ in 0..<steps { isQuiet ? harness.pass() : traffic(harness) }
        harness.crash(harness.seats[victim])
        traffic(harness, 3)
        finish(harness, "\(steps) steps\(isQuiet ? ", quiet" : "")")
        let isMoved = harness.map.group(0).pair == 1
        #expect(harness.outcomes[.done] == (isMoved ? 1 : nil), "\(steps) steps")
      }
    }
  }

  /// Both, of different pairs.
  @Test func twoReplicasFail() {
    for steps in 0..<16 {
      for (first, second) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        let harness = harness()
        traffic(harness, 2)
        harness.begin(0, to: 1)
        traffic(harness, steps)
        harness.crash(harness.seats[first])
        traffic(harness, steps % 3)
        harness.crash(harness.seats[second])
        traffic(harness, 3)
        finish(harness, "\(first), \(second) after \(steps) steps")
      }
    }
  }

  enum Behaviour: CaseIterable { case plain, tight, lossy, failing }

  @Test(arguments: Behaviour.allCases) func randomRuns(behaviour: Behaviour) {
    var outcomes: [GroupMigration.Phase: Int] = [:]
    var kept = 0
    for seed in 1...UInt64(60) {
      var random = SeededGenerator(seed: seed)
      var options = HarnessOptions.random(&random)
      options.replication.policy = .release
      options.replication.flowGroups = random.oneOf([1, 2, 4, 16])
      options.replication.snapshotChunk = random.oneOf([1, 3, 16])
      options.replication.acknowledgeTimeout = 20_000
      options.replication.pending = 1024
      options.replication.pendingPerFlow = 512
      options.replication.retained = max(4096, options.replication.retained)
      options.replication.held = 8192
      options.replication.kept = behaviour == .tight ? 8 : 256
      options.egressHold = 64
      options.doubles = behaviour == .tight ? 0 : options.doubles
      if behaviour == .lossy { options.replication.gapTimeout = 20_000 }
      options.replication.inputCapacity = 1 << 20
      let harness = MigrationHarness(options, pairs: 2 + random.below(2), seed: seed)
      harness.moveLosses = random.oneOf([0, 3, 10])
      if behaviour == .lossy { harness.losses = random.oneOf([2, 5, 20]) }
      for step in 0..<3_000 where harness.violation == nil && harness.bank.live < 400 {
        harness.step()
        if behaviour == .failing, step % 700 == 699 {
          harness.crash(harness.seats[random.below(harness.seats.count)])
        }
        kept = max(kept, harness.seats[0].primary?.pointee.keptHighWater ?? 0)
      }
      harness.settle()
      #expect(harness.violation == nil, "seed \(seed)")
      for (phase, count) in harness.outcomes { outcomes[phase, default: 0] += count }
      if harness.violation != nil { break }
    }
    #expect(outcomes[.done, default: 0] > 40 && kept > 4)
    if behaviour == .failing { #expect(outcomes[.undone, default: 0] > 20) }
  }
}
