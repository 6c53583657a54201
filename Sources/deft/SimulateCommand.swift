import ArgumentParser
import DEFTSimulator
import Foundation

struct SimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Runs the protocol in virtual time with seeded faults, and checks every step.",
    discussion: """
      The types that run on lcores, driven by one seed: topology, options, packets and faults follow from it. First faults
      strike; then nothing fails any more and everything has to come to its end. A violation ends the run with status 1 and
      prints the command that shows it step by step. A run of \(Summary.enoughRuns) seeds or more also fails if a kind of fault or a
      transition of the protocol never occurred.
      """)

  @Option(help: "Run this seed alone.")
  var seed: UInt64?
  @Flag(help: "With --seed: print every step.")
  var trace = false
  @Option(help: "Seeds to run.")
  var seeds: UInt64 = 2_000
  @Option(help: "The first one.")
  var from: UInt64 = 1
  @Option(help: "Threads.")
  var jobs = ProcessInfo.processInfo.activeProcessorCount
  @Option(help: "Stamp at most so many packets per seed.")
  var packets: Int?
  @Option(help: "Faults that shall not strike, separated by commas, or 'all'.")
  var without: String?
  @Flag(name: .customLong("keep-going"), help: "Do not stop at the first violation.")
  var keepGoing = false
  @Option(help: "Write the summary as JSON to this file, or - for standard output.")
  var json: String?
  @Flag(help: "No progress.")
  var quiet = false

  func validate() throws {
    guard (1...SeedsUnderWay.capacity).contains(jobs) else {
      throw ValidationError("--jobs \(jobs) is out of range: 1…\(SeedsUnderWay.capacity)")
    }
    guard seeds > 0 else { throw ValidationError("--seeds 0 runs nothing") }
    guard (packets ?? 1) > 0 else { throw ValidationError("--packets 0 stamps nothing") }
    if trace, seed == nil { throw ValidationError("--trace is for one --seed") }
    _ = try excluded()
  }

  private func excluded() throws -> [Fault] {
    guard let without else { return [] }
    if without == "all" { return Fault.allCases }
    return try without.split(separator: ",").map { name in
      guard let fault = Fault.allCases.first(where: { $0.name == name }) else {
        throw ValidationError("no fault named '\(name)'; there are: \(Fault.allCases.map(\.name).joined(separator: ", "))")
      }
      return fault
    }
  }

  func run() throws {
    TrapNotice.install()
    let limit = OptionsLimit(packets: packets, without: try excluded())
    if let seed { return try runOne(seed, limit) }
    let start = ContinuousClock.now
    let total = seeds
    let showsProgress = !quiet && isatty(STDERR_FILENO) == 1
    let summary = SeedRunner.run(from: from, count: seeds, jobs: jobs, keepsGoing: keepGoing, limit: limit.apply) { done in
      if showsProgress { Terminal.error.write("\r\(done) of \(total) seeds") }
    }
    if showsProgress { Terminal.error.write("\r\u{1b}[K") }
    let time = (ContinuousClock.now - start).components
    let seconds = Double(time.seconds) + Double(time.attoseconds) * 1e-18
    if let json { try write(summary.json(seconds: seconds), to: json) }
    if json != "-" { Terminal.output.write(summary.text(seconds: seconds)) }
    for failure in summary.failures { report(failure, limit) }
    guard summary.failures.isEmpty else { throw ExitCode(1) }
    guard summary.runs < Summary.enoughRuns || !limit.isEmpty || summary.missing.isEmpty else {
      throw CommandFailure("never occurred in \(summary.runs) seeds: \(summary.missing.joined(separator: ", "))")
    }
  }

  private func runOne(_ seed: UInt64, _ limit: OptionsLimit) throws {
    var options = SimulationOptions(seed: seed)
    limit.apply(&options)
    Terminal.output.write("seed \(seed)\n\(options)\n")
    // Line by line: what does not end shows how far it came.
    let report = SeedRunner().run(options, print: trace ? { Terminal.output.write($0 + "\n") } : nil)
    if let violation = report.violation {
      Terminal.output.write("VIOLATION at \(violation.time) ns: \(violation.property.rawValue): \(violation.detail)\n")
      throw ExitCode(1)
    }
    Terminal.output.write(
      "clean: \(report.stamped) packets stamped, \(report.transmitted) transmitted, \(report.duration) ns, "
        + "\(report.eventCount) events\n")
  }

  /// The failed seed, and the smallest run that shows the same.
  private func report(_ failure: RunReport, _ limit: OptionsLimit) {
    let violation = failure.violation!
    Terminal.output.write(
      "\nVIOLATION seed \(failure.seed): \(violation.property.rawValue): \(violation.detail)\n\(failure.options)\n")
    let smallest = FailureShrinker.shrink(failure)
    var command = "deft simulate --seed \(failure.seed) --trace --packets \(smallest.options.packets)"
    let without = Fault.allCases.filter { !smallest.options.faults.contains($0) }.map(\.name)
    if !without.isEmpty { command += " --without " + without.joined(separator: ",") }
    let last = smallest.violation ?? violation
    Terminal.output.write("smallest run found: \(last.property.rawValue): \(last.detail)\nreplay: \(command)\n")
  }

  private func write(_ text: String, to path: String) throws {
    if path == "-" { return Terminal.output.write(text) }
    do {
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    } catch {
      throw CommandFailure("cannot write \(path): \(error.localizedDescription)")
    }
  }
}

/// What the command line takes away from the options that a seed gives.
struct OptionsLimit: Sendable {
  let packets: Int?
  let without: [Fault]
  var isEmpty: Bool { packets == nil && without.isEmpty }

  func apply(_ options: inout SimulationOptions) {
    if let packets { options.packets = min(options.packets, packets) }
    for fault in without { options.faults.set(fault, false) }
  }
}

/// A failed precondition in the core ends the process: says at least which seeds were under way.
enum TrapNotice {
  static func install() {
    for number in [SIGILL, SIGTRAP, SIGABRT] {
      signal(number) { _ in
        for job in 0..<SeedsUnderWay.capacity {
          guard let seed = SeedRunner.underWay[job] else { continue }
          Terminal.error.write(
            "a precondition failed while seed \(seed) ran; replay: deft simulate --seed \(seed) --trace\n")
        }
        _exit(2)
      }
    }
  }
}
