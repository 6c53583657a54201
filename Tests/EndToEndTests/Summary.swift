import Testing

/// What the tests read of `--json`.
struct Summary: Decodable {
  struct Packets: Decodable {
    var received: Int
    var stamped: Int
    var closeMarkers: Int
    var processed: Int
    var droppedByFunction: Int
    var released: Int
    var transmitted: Int
    var suppressedDuplicates: Int
    var injectedDuplicates: Int
    var dropsByReason: [String: Int]

    /// Dropped before they had a stamp: the only packets that may be missing behind the NF.
    var droppedUnstamped: Int {
      ["input_buffer_full", "flow_table_full"].reduce(0) { $0 + (dropsByReason[$1] ?? 0) }
    }
  }
  struct Lcore: Decodable {
    var lcore: Int
    var roles: [String]
  }
  struct Pair: Decodable {
    var pair: Int
    var flows: Int
    var primaryDigest: String
    var secondaryDigest: String?
  }
  struct Batches: Decodable {
    var prepared: Int
    var committed: Int
    var inFlightAtMost: Int
  }
  struct Loss: Decodable {
    var destroyedToPrimaries: Int
    var destroyedToSecondaries: Int
    var destroyedEverywhere: Int
    var declaredLost: Int
  }
  struct Failure: Decodable {
    var victim: String
    var pair: Int
    var packet: Int
    var copies: Int
    var takeoverMicroseconds: Double?
    var restartedFlows: Int?
    var lostPackets: Int?
    var unprotectedMicroseconds: Double
  }
  struct Migration: Decodable {
    var groups: Int
    var flows: Int
    var forwarded: Int
  }
  var packets: Packets
  var loss: Loss?
  var failures: [Failure]
  var migrations: [Migration]
  var flowsClosed: Int
  var hugepages: Bool
  var lcores: [Lcore]
  var batches: Batches
  var pairs: [Pair]
  var violations: [String]
}

/// What holds after every run that ended by itself.
/// - Parameter replicated: `--replication on`.
@discardableResult
func expectSound(
  _ run: DeftRun, pairs: Int, replicated: Bool = true, sourceLocation: SourceLocation = #_sourceLocation
) throws -> Summary {
  #expect(run.status == 0, "\(run)", sourceLocation: sourceLocation)
  #expect(run.errors == "", "\(run)", sourceLocation: sourceLocation)
  let summary = try run.summary()
  let packets = summary.packets
  #expect(summary.violations == [], "\(run)", sourceLocation: sourceLocation)
  #expect(packets.received == packets.stamped + packets.droppedUnstamped, "\(run)", sourceLocation: sourceLocation)
  #expect(packets.processed == packets.stamped, "\(run)", sourceLocation: sourceLocation)
  #expect(packets.released == packets.processed - packets.droppedByFunction, "\(run)", sourceLocation: sourceLocation)
  #expect(packets.transmitted == packets.released, "\(run)", sourceLocation: sourceLocation)
  #expect(summary.pairs.map(\.pair) == Array(0..<pairs), "\(run)", sourceLocation: sourceLocation)
  for pair in summary.pairs {
    let expected = replicated ? pair.primaryDigest : nil
    #expect(pair.secondaryDigest == expected, "pair \(pair.pair): \(run)", sourceLocation: sourceLocation)
  }
  return summary
}
