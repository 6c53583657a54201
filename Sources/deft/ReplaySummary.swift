import DEFTCore
import DEFTDataplane
import Foundation
import Histogram

/// What a run comes to: printed for people, written as JSON for scripts. All counts are packets unless named otherwise.
struct ReplaySummary: Codable {
  struct Packets: Codable {
    var received: UInt64
    var stamped: UInt64
    var closeMarkers: UInt64
    var processed: UInt64
    var droppedByFunction: UInt64
    var released: UInt64
    var transmitted: UInt64
    var suppressedDuplicates: UInt64
    var injectedDuplicates: UInt64
    var dropsByReason: [String: UInt64]
  }
  /// What `--loss` did.
  struct Loss: Codable {
    var destroyedToPrimaries: UInt64
    var destroyedToSecondaries: UInt64
    /// On every way that there was: these cannot come out.
    var destroyedEverywhere: UInt64
    /// By the primaries. Less than the former where nothing came behind a lost packet of its flow.
    var declaredLost: UInt64
  }
  struct Lcore: Codable {
    var lcore: UInt32
    var roles: [String]
    var received: UInt64
    var processed: UInt64
    var transmitted: UInt64
    var megapacketsPerSecond: Double
    var cyclesPerPacket: Double
    var busyPercent: Double
    var naps: UInt64
  }
  struct Batches: Codable {
    var prepared: UInt64
    var committed: UInt64
    var inFlightAtMost: UInt64
    var stateClocksTaken: UInt64
    var stateClocksApplied: UInt64
    var votesDelayed: UInt64
  }
  struct Latency: Codable {
    var p50: Double
    var p99: Double
    var p999: Double
    var max: Double
  }
  /// Gap repair at both replicas of a pair, packets unless named otherwise.
  struct Repair: Codable {
    /// Asked for by the primary and by the secondary (again, too), and what came.
    var wantedByPrimary: UInt64
    var wantedBySecondary: UInt64
    var takenByPrimary: UInt64
    var takenBySecondary: UInt64
    /// Ranges that were asked for and not held either.
    var missing: UInt64
    /// Declared lost by the primary, bound by votes of the secondary.
    var declaredLost: UInt64
    var boundLost: UInt64
    /// Flows whose last packets only the secondary had.
    var uncovered: UInt64
    /// What had to wait for a later try: a table, a log, the pool or a buffer was full.
    var waits: UInt64
    /// Of these: no packet buffer was free.
    var poolEmpty: UInt64

    init(_ primary: RepairCounters, _ secondary: RepairCounters?) {
      let secondary = secondary ?? RepairCounters()
      wantedByPrimary = primary.wanted
      wantedBySecondary = secondary.wanted
      takenByPrimary = primary.taken
      takenBySecondary = secondary.taken
      missing = primary.missing
      declaredLost = primary.lost
      boundLost = secondary.lost
      uncovered = primary.uncovered
      waits = [primary, secondary].reduce(0) { $0 + $1.tableFull + $1.logFull + $1.poolEmpty + $1.noRoom }
      poolEmpty = primary.poolEmpty + secondary.poolEmpty
    }
  }
  struct Pair: Codable {
    var pair: Int
    var flows: Int
    var primaryDigest: String
    var secondaryDigest: String?
    var reordered: UInt64
    var pendingAtMost: Int
    var heldAtMost: UInt64?
    var batches: Batches
    var repair: Repair
  }
  struct Failure: Codable {
    var victim: String
    var pair: Int
    var packet: UInt64
    /// The group's epoch with its new secondary.
    var epoch: UInt32
    /// Copies that were taken over.
    var copies: Int
    /// µs until what was voted for had been processed again.
    var takeoverMicroseconds: Double?
    /// Both replicas failed: flows that ended and began anew, and stamped packets of theirs that never left.
    var restartedFlows: UInt64?
    var lostPackets: UInt64?
    /// µs from the crash until a new secondary was in sync.
    var unprotectedMicroseconds: Double
    /// µs, stamp to release, meanwhile.
    var longestLatencyMicroseconds: Double
    var longestSyncLatencyMicroseconds: Double
  }
  struct Migration: Codable {
    var source: Int
    var target: Int
    var packet: UInt64
    var groups: Int
    var flows: UInt64
    /// Packets that the former owner's replicas sent on.
    var forwarded: UInt64
    /// Moves of single groups that were undone and tried again.
    var undone: Int
    var milliseconds: Double
    /// µs, stamp to release, meanwhile.
    var longestLatencyMicroseconds: Double
  }
  struct Control: Codable {
    var connectionsOpened: UInt64
    var connectionsLost: UInt64
    var bytesSent: UInt64
    var messagesSent: UInt64
    var badMessages: UInt64
  }

  var networkFunction: String
  var replication: Bool
  var hugepages: Bool
  var elapsedSeconds: Double
  var packets: Packets
  var flowsActive: Int
  var flowsClosed: UInt64
  var megapacketsPerSecond: Double
  var lcores: [Lcore]
  var batches: Batches
  /// Stamp → release, µs.
  var latencyMicroseconds: Latency?
  var pairs: [Pair]
  /// With `--loss`, or if packets were declared lost.
  var loss: Loss?
  /// Planned failures that happened.
  var failures: [Failure]
  /// Planned migrations that happened.
  var migrations: [Migration]
  var control: Control?
  var violations: [String]

  init(
    _ report: PipelineReport, networkFunction: String, replication: Bool, hugepages: Bool, elapsed: Double,
    cyclesPerSecond: Double, measuresLatency: Bool, control: Control?
  ) {
    self.networkFunction = networkFunction
    self.replication = replication
    self.hugepages = hugepages
    self.control = control
    elapsedSeconds = elapsed
    packets = Packets(
      received: report.received, stamped: report.stamped, closeMarkers: report.closeMarkers,
      processed: report.processed,
      droppedByFunction: report.droppedByFunction, released: report.released, transmitted: report.transmitted,
      suppressedDuplicates: report.suppressed, injectedDuplicates: report.injectedDuplicates,
      dropsByReason: Dictionary(uniqueKeysWithValues: report.drops.map { ($0.key.rawValue, $0.value) }))
    flowsActive = report.activeFlows
    flowsClosed = report.closedFlows
    megapacketsPerSecond = Double(report.processed) / max(elapsed, 1e-9) / 1e6
    lcores = report.lcores.map { lcore in
      let counters = lcore.counters
      let packets = Double(max(counters.received, counters.processed, counters.transmitted))
      return Lcore(
        lcore: lcore.lcore, roles: lcore.roles, received: counters.received, processed: counters.processed,
        transmitted: counters.transmitted, megapacketsPerSecond: packets / max(elapsed, 1e-9) / 1e6,
        cyclesPerPacket: packets > 0 ? Double(counters.busyCycles) / packets : 0,
        busyPercent: 100 * Double(counters.busyCycles) / max(1, elapsed * cyclesPerSecond), naps: counters.naps)
    }
    let perPair = report.pairs.map { pair in
      Batches(
        prepared: pair.primary.batchesPrepared,
        committed: replication ? pair.primary.batchesVoted : pair.primary.batchesPrepared,
        inFlightAtMost: pair.primary.batchesInFlightHighWater, stateClocksTaken: pair.primary.stateClocksTaken,
        stateClocksApplied: pair.primary.stateClocksApplied, votesDelayed: pair.secondary?.votesDelayed ?? 0)
    }
    batches = perPair.reduce(
      into: Batches(
        prepared: 0, committed: 0, inFlightAtMost: 0, stateClocksTaken: 0, stateClocksApplied: 0, votesDelayed: 0)
    ) { sum, one in
      sum.prepared += one.prepared
      sum.committed += one.committed
      sum.inFlightAtMost = max(sum.inFlightAtMost, one.inFlightAtMost)
      sum.stateClocksTaken += one.stateClocksTaken
      sum.stateClocksApplied += one.stateClocksApplied
      sum.votesDelayed += one.votesDelayed
    }
    latencyMicroseconds = measuresLatency ? ReplaySummary.latency(report) : nil
    pairs = zip(report.pairs, report.digests).enumerated().map { index, both in
      Pair(
        pair: both.0.pair, flows: both.1.flows, primaryDigest: ReplaySummary.hexadecimal(both.1.primary),
        secondaryDigest: both.1.secondary.map(ReplaySummary.hexadecimal), reordered: both.0.primary.reordered,
        pendingAtMost: both.0.pendingHighWater, heldAtMost: both.0.secondary?.heldHighWater, batches: perPair[index],
        repair: Repair(both.0.primary.repair, both.0.secondary?.repair))
    }
    if report.destroyedToPrimaries + report.destroyedToSecondaries + report.declaredLost > 0 {
      loss = Loss(
        destroyedToPrimaries: report.destroyedToPrimaries, destroyedToSecondaries: report.destroyedToSecondaries,
        destroyedEverywhere: report.destroyedEverywhere, declaredLost: report.declaredLost)
    }
    failures = report.failures.map { record in
      Failure(
        victim: record.failure.victim.rawValue, pair: record.failure.pair, packet: record.failure.packet,
        epoch: record.epoch, copies: record.copies,
        takeoverMicroseconds: record.failure.victim == .primary ? Double(record.takeover) / 1000 : nil,
        restartedFlows: record.failure.victim == .pair ? record.restartedFlows : nil,
        lostPackets: record.failure.victim == .pair ? record.lostPackets : nil,
        unprotectedMicroseconds: Double(record.unprotected) / 1000,
        longestLatencyMicroseconds: Double(record.longestLatency) / 1000,
        longestSyncLatencyMicroseconds: Double(record.longestSyncLatency) / 1000)
    }
    migrations = report.migrations.map { record in
      Migration(
        source: record.migration.source, target: record.migration.target, packet: record.migration.packet,
        groups: record.groups, flows: record.flows, forwarded: record.forwarded, undone: record.undone,
        milliseconds: Double(record.duration) / 1e6, longestLatencyMicroseconds: Double(record.longestLatency) / 1000)
    }
    violations = report.violations
  }

  private static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  private static func latency(_ report: PipelineReport) -> Latency? {
    guard !report.latency.isEmpty else { return nil }
    var histogram = Histogram<UInt64>(highestTrackableValue: 1 << 42, numberOfSignificantValueDigits: .three)
    for step in report.latency { histogram.record(step.nanoseconds, count: step.count) }
    func at(_ percentile: Double) -> Double { Double(histogram.valueAtPercentile(percentile)) / 1000 }
    return Latency(p50: at(50), p99: at(99), p999: at(99.9), max: Double(histogram.max) / 1000)
  }

  /// For people.
  var text: String {
    var lines: [String] = []
    func line(_ name: String, _ value: String) {
      lines.append(name.padding(toLength: 12, withPad: " ", startingAt: 0) + value)
    }
    line(
      "packets",
      "\(packets.received) received, \(packets.stamped) stamped, \(packets.processed) processed, \(packets.transmitted) released"
    )
    let drops = packets.dropsByReason.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    line(
      "drops",
      ["by the NF \(packets.droppedByFunction)"].joined() + (drops.isEmpty ? "" : ", " + drops.joined(separator: ", ")))
    if packets.injectedDuplicates + packets.suppressedDuplicates > 0 {
      line("duplicates", "\(packets.injectedDuplicates) injected, \(packets.suppressedDuplicates) suppressed at egress")
    }
    line("flows", "\(flowsActive) active, \(flowsClosed) closed")
    line(
      "speed",
      String(format: "%.3f Mpps over %.3f s, ", megapacketsPerSecond, elapsedSeconds)
        + (hugepages ? "hugepages" : "no hugepages"))
    for lcore in lcores {
      line(
        "lcore \(lcore.lcore)",
        String(format: "%.0f cycles/packet, %.1f %% busy (", lcore.cyclesPerPacket, lcore.busyPercent)
          + lcore.roles.joined(separator: ", ") + ")")
    }
    line(
      "batches",
      "\(batches.prepared) prepared, \(batches.committed) committed, \(batches.inFlightAtMost) in flight at most, \(batches.stateClocksApplied) state clocks"
    )
    if let latency = latencyMicroseconds {
      line(
        "latency",
        String(
          format: "stamp→release p50 %.1f µs, p99 %.1f µs, p99.9 %.1f µs, max %.1f µs", latency.p50, latency.p99,
          latency.p999, latency.max))
    }
    for pair in pairs {
      line(
        "pair \(pair.pair)",
        "\(pair.flows) flows, digest \(pair.primaryDigest)"
          + (pair.secondaryDigest.map { " primary, \($0) secondary" } ?? ""))
    }
    if let loss {
      line(
        "loss",
        "\(loss.destroyedToPrimaries) destroyed on the way to a primary, \(loss.destroyedToSecondaries) to a secondary, \(loss.destroyedEverywhere) on every way; \(loss.declaredLost) declared lost"
      )
      let taken = pairs.reduce((0, 0)) { ($0.0 + $1.repair.takenByPrimary, $0.1 + $1.repair.takenBySecondary) }
      line("repair", "\(taken.0) packets brought to primaries, \(taken.1) to secondaries")
    }
    for failure in failures {
      line(
        "failure",
        (failure.restartedFlows == nil ? failure.victim : "both replicas")
          + " of pair \(failure.pair) at packet \(failure.packet): "
          + (failure.takeoverMicroseconds.map {
            String(format: "%d copies taken over in %.0f µs, ", failure.copies, $0)
          } ?? "")
          + (failure.restartedFlows.map { flows in
            "state lost: \(flows) flows begin anew, \(failure.lostPackets ?? 0) packets had not left; "
          } ?? "")
          + String(
            format: "two replicas again after %.0f µs, longest latency %.0f µs, %.0f µs while the new one synchronised",
            failure.unprotectedMicroseconds, failure.longestLatencyMicroseconds, failure.longestSyncLatencyMicroseconds))
    }
    for migration in migrations {
      line(
        "migration",
        "pair \(migration.source) to \(migration.target) at packet \(migration.packet): \(migration.groups) groups, \(migration.flows) flows in "
          + String(
            format: "%.1f ms, %d packets sent on, longest latency %.0f µs", migration.milliseconds, migration.forwarded,
            migration.longestLatencyMicroseconds))
    }
    if let control {
      line(
        "control",
        "\(control.messagesSent) messages, \(control.bytesSent) bytes over \(control.connectionsOpened) connections, \(control.connectionsLost) lost"
      )
    }
    line("violations", violations.isEmpty ? "none" : "\(violations.count)")
    for violation in violations { lines.append("  " + violation) }
    return lines.joined(separator: "\n") + "\n"
  }

  var json: Data {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return try encoder.encode(self) + Data("\n".utf8)
    }
  }
}
