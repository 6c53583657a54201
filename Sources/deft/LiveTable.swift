import DEFTDataplane
import Foundation

/// The per-lcore table that a run shows once a second on standard error: redrawn in place on a terminal, a block a second
/// apart otherwise.
struct LiveTable {
  private let cyclesPerSecond: Double
  private var previous: PipelineReport?
  private var previousTime = ContinuousClock.now
  private var drawnLines = 0
  private let terminal = Terminal.error

  init(cyclesPerSecond: UInt64) { self.cyclesPerSecond = Double(cyclesPerSecond) }

  mutating func show(_ report: PipelineReport) {
    let now = ContinuousClock.now
    defer {
      previous = report
      previousTime = now
    }
    guard let previous else { return }
    let elapsed = (now - previousTime) / .seconds(1)
    var lines = [
      "lcore  in Mpps  out Mpps  NF Mpps  cycles/pkt  busy %  runs"
    ]
    for (lcore, before) in zip(report.lcores, previous.lcores) {
      let counters = lcore.counters
      let old = before.counters
      let packets = Double(
        max(
          counters.received &- old.received, counters.processed &- old.processed,
          counters.transmitted &- old.transmitted))
      let busy = Double(counters.busyCycles &- old.busyCycles)
      lines.append(
        String(
          format: "%5u  %7.3f  %8.3f  %7.3f  %10@  %6.1f  %@", lcore.lcore,
          Double(counters.received &- old.received) / elapsed / 1e6,
          Double(counters.transmitted &- old.transmitted) / elapsed / 1e6,
          Double(counters.processed &- old.processed) / elapsed / 1e6,
          (packets > 0 ? String(format: "%.0f", busy / packets) : "-") as NSString,
          100 * busy / (elapsed * cyclesPerSecond), lcore.roles.joined(separator: " ") as NSString))
    }
    for pair in report.pairs {
      lines.append(
        "pair \(pair.pair): \(pair.primary.batchesPrepared) batches (\(pair.batchesInFlight) in flight), \(pair.primary.stateClocksApplied) state clocks, \(pair.pendingNow) pending, \(pair.heldNow) held"
      )
    }
    lines.append("drops: " + LiveTable.describe(report))
    if terminal.isTerminal, drawnLines > 0 { terminal.write("\u{1b}[\(drawnLines)A\u{1b}[J") }
    terminal.write(lines.joined(separator: "\n") + "\n")
    drawnLines = lines.count
  }

  static func describe(_ report: PipelineReport) -> String {
    var parts = DropReason.allCases.compactMap { reason in report.drops[reason].map { "\(reason.rawValue) \($0)" } }
    if report.droppedByFunction > 0 { parts.append("by the NF \(report.droppedByFunction)") }
    return parts.isEmpty ? "none" : parts.joined(separator: ", ")
  }
}
