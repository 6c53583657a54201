/// What many runs showed.
public struct Summary: Sendable {
  public private(set) var runs = 0
  public private(set) var packets = 0
  public private(set) var transmitted = 0
  public private(set) var eventCount: UInt64 = 0
  public private(set) var virtualTime: UInt64 = 0
  /// Runs in which each occurred, and how often in all.
  public private(set) var faultRuns = [Int](repeating: 0, count: Fault.allCases.count)
  public private(set) var faults = [Int](repeating: 0, count: Fault.allCases.count)
  public private(set) var transitionRuns = [Int](repeating: 0, count: Transition.allCases.count)
  public private(set) var transitions = [Int](repeating: 0, count: Transition.allCases.count)
  /// By seed.
  public private(set) var failures: [RunReport] = []

  public init() {}

  mutating func add(_ report: RunReport) {
    runs += 1
    packets += report.stamped
    transmitted += report.transmitted
    eventCount &+= report.eventCount
    virtualTime &+= report.duration
    for (index, count) in report.occurrences.faults.enumerated() where count > 0 {
      faultRuns[index] += 1
      faults[index] += Int(count)
    }
    for (index, count) in report.occurrences.transitions.enumerated() where count > 0 {
      transitionRuns[index] += 1
      transitions[index] += Int(count)
    }
    if report.violation != nil { failures.append(report) }
  }

  mutating func add(_ other: Summary) {
    runs += other.runs
    packets += other.packets
    transmitted += other.transmitted
    eventCount &+= other.eventCount
    virtualTime &+= other.virtualTime
    for index in faults.indices {
      faultRuns[index] += other.faultRuns[index]
      faults[index] += other.faults[index]
    }
    for index in transitions.indices {
      transitionRuns[index] += other.transitionRuns[index]
      transitions[index] += other.transitions[index]
    }
    failures = (failures + other.failures).sorted { $0.seed < $1.seed }
  }

  /// Faults and transitions that never occurred; a run of many seeds fails by them.
  public var missing: [String] {
    Fault.allCases.filter { faultRuns[$0.rawValue] == 0 }.map(\.name)
      + Transition.allCases.filter { transitionRuns[$0.rawValue] == 0 }.map(\.name)
  }

  /// From so many seeds on, everything has to have occurred.
  public static let enoughRuns = 2_000

  // MARK: text

  /// The table that is printed at the end.
  public func text(seconds: Double) -> String {
    var lines = [
      "seeds \(runs)  seeds/s \(Summary.fixed(Double(runs) / max(seconds, 1e-9), 0))  packets/seed \(perRun(packets))  "
        + "transmitted/seed \(perRun(transmitted))  faults/seed \(perRun(faults.reduce(0, +)))  "
        + "events/seed \(perRun(Int(eventCount)))  virtual ms/seed \(Summary.fixed(Double(virtualTime) / 1e6 / Double(max(runs, 1)), 2))"
    ]
    lines.append("share of the runs in which it occurred, and times per run:")
    lines += table("fault", Fault.allCases.map { ($0.name, faultRuns[$0.rawValue], faults[$0.rawValue]) })
    lines += table(
      "transition", Transition.allCases.map { ($0.name, transitionRuns[$0.rawValue], transitions[$0.rawValue]) })
    return lines.joined(separator: "\n") + "\n"
  }

  private func perRun(_ count: Int) -> String { Summary.fixed(Double(count) / Double(max(runs, 1)), 1) }

  private func table(_ title: String, _ rows: [(name: String, runs: Int, count: Int)]) -> [String] {
    let cells = rows.map { row in
      Summary.padded(row.name, 24) + Summary.left(Summary.fixed(100 * Double(row.runs) / Double(max(runs, 1)), 1) + " %", 8)
        + Summary.left(perRun(row.count), 9)
    }
    var lines: [String] = []
    for start in stride(from: 0, to: cells.count, by: 2) {
      let second = start + 1 < cells.count ? "    " + cells[start + 1] : ""
      lines.append("  " + (start == 0 ? Summary.padded(title, 12) : Summary.padded("", 12)) + cells[start] + second)
    }
    return lines
  }

  static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
  private static func left(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
  static func fixed(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((value * scale).rounded())
    guard digits > 0 else { return String(scaled) }
    let fraction = String(scaled % Int(scale))
    return "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
  }

  /// One object; keys as in the table.
  public func json(seconds: Double) -> String {
    func object(_ rows: [(String, Int, Int)]) -> String {
      "{" + rows.map { "\"\($0.0)\": {\"runs\": \($0.1), \"count\": \($0.2)}" }.joined(separator: ", ") + "}"
    }
    let failed = failures.map {
      "{\"seed\": \($0.seed), \"property\": \"\($0.violation!.property)\", \"detail\": \"\(Summary.escaped($0.violation!.detail))\"}"
    }
    return """
      {"seeds": \(runs), "seconds": \(Summary.fixed(seconds, 3)), "packets": \(packets), "transmitted": \(transmitted), \
      "events": \(eventCount), "virtualNanoseconds": \(virtualTime),
       "faults": \(object(Fault.allCases.map { ($0.name, faultRuns[$0.rawValue], faults[$0.rawValue]) })),
       "transitions": \(object(Transition.allCases.map { ($0.name, transitionRuns[$0.rawValue], transitions[$0.rawValue]) })),
       "failures": [\(failed.joined(separator: ", "))]}

      """
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      if character == "\"" || character == "\\" { result.append("\\") }
      result.append(character == "\n" ? " " : character)
    }
    return result
  }
}
