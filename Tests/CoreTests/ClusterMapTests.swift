import DEFTCore
import Testing

/// The transition table of the cluster map, prohibited moves included (DESIGN 5, R7, R9, R12).
@Suite struct ClusterMapTests {
  private let p = NodeID(1)
  private let s = NodeID(2)
  private let c = NodeID(3)
  private let egress = NodeID(9)
  private func map(_ standing: SecondaryStanding, policy: UnprotectedPolicy = .hold, epoch: UInt32 = 5) -> ClusterMap {
    ClusterMap(pairs: [
      PairAssignment(
        epoch: epoch, primary: p, secondary: standing == .none ? nil : s, standing: standing, policy: policy,
        egress: egress)
    ])
  }

  @Test func everyTransitionAndNoOther() {
    typealias Row = (
      from: SecondaryStanding, event: MapTransition, outcome: MapOutcome, primary: NodeID, secondary: NodeID?,
      to: SecondaryStanding, epoch: UInt32, losses: UInt32
    )
    let rows: [Row] = [
      (.inSync, .primaryFailed(), .accepted(.takeover), s, nil, .none, 6, 0),
      (.inSync, .primaryFailed(replacement: c), .accepted(.takeover), s, nil, .none, 6, 0),
      (.syncing, .primaryFailed(), .accepted(.restart), s, nil, .none, 6, 1),
      (.syncing, .primaryFailed(replacement: c), .accepted(.restart), c, nil, .none, 6, 1),
      (.none, .primaryFailed(), .refused(.noReplacement), p, nil, .none, 5, 0),
      (.none, .primaryFailed(replacement: p), .refused(.occupied), p, nil, .none, 5, 0),
      (.none, .primaryFailed(replacement: egress), .refused(.occupied), p, nil, .none, 5, 0),
      (.none, .primaryFailed(replacement: c), .accepted(.restart), c, nil, .none, 6, 1),
      (.inSync, .secondaryFailed, .accepted(.alone), p, nil, .none, 6, 0),
      (.syncing, .secondaryFailed, .accepted(.alone), p, nil, .none, 6, 0),
      (.none, .secondaryFailed, .refused(.standing), p, nil, .none, 5, 0),
      (.none, .secondaryAdded(c), .accepted(.sync), p, c, .syncing, 6, 0),
      (.none, .secondaryAdded(p), .refused(.occupied), p, nil, .none, 5, 0),
      (.none, .secondaryAdded(egress), .refused(.occupied), p, nil, .none, 5, 0),
      (.syncing, .secondaryAdded(c), .refused(.standing), p, s, .syncing, 5, 0),
      (.inSync, .secondaryAdded(c), .refused(.standing), p, s, .inSync, 5, 0),
      (.syncing, .syncFinished, .accepted(.protected), p, s, .inSync, 5, 0),
      (.inSync, .syncFinished, .refused(.standing), p, s, .inSync, 5, 0),
      (.none, .syncFinished, .refused(.standing), p, nil, .none, 5, 0),
    ]
    for row in rows {
      var map = map(row.from)
      #expect(map.propose(row.event, pair: 0, ifEpoch: 5) == row.outcome, "\(row)")
      let pair = map[0]
      #expect(pair.primary == row.primary && pair.secondary == row.secondary && pair.standing == row.to, "\(row)")
      #expect(pair.epoch == row.epoch && pair.losses == row.losses, "\(row)")
    }
  }

  /// One compare-and-set: of two who saw the same epoch one is refused.
  @Test func onlyOneOfTwoProposersWins() {
    var map = map(.inSync)
    #expect(map.propose(.primaryFailed(), pair: 0, ifEpoch: 5) == .accepted(.takeover))
    for late: MapTransition in [.primaryFailed(replacement: c), .secondaryFailed, .secondaryAdded(c), .syncFinished] {
      #expect(map.propose(late, pair: 0, ifEpoch: 5) == .refused(.otherEpoch))
    }
    #expect(map.propose(.secondaryFailed, pair: 1, ifEpoch: 6) == .refused(.unknownPair))
    // The end of an earlier sync says nothing of this one.
    #expect(map.propose(.secondaryAdded(c), pair: 0, ifEpoch: 6) == .accepted(.sync))
    #expect(map.propose(.secondaryFailed, pair: 0, ifEpoch: 7) == .accepted(.alone))
    #expect(map.propose(.secondaryAdded(c), pair: 0, ifEpoch: 8) == .accepted(.sync))
    #expect(map.propose(.syncFinished, pair: 0, ifEpoch: 7) == .refused(.otherEpoch))
    #expect(map.propose(.syncFinished, pair: 0, ifEpoch: 9) == .accepted(.protected))
  }

  @Test func releaseWithoutVotesOnlyIfTheMapSaysSo() {
    for standing: SecondaryStanding in [.none, .syncing, .inSync] {
      let pair = map(standing, policy: .release)[0]
      #expect(pair.mayReleaseUnvoted(p, epoch: 5) == (standing != .inSync))
      #expect(!pair.mayReleaseUnvoted(s, epoch: 5) && !pair.mayReleaseUnvoted(p, epoch: 4))
      #expect(!map(standing, policy: .hold)[0].mayReleaseUnvoted(p, epoch: 5))
    }
  }
}
