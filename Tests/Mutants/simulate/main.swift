import DEFTCore
import DEFTSimulator
import Glibc

// The simulator without the rest of the product: what `make mutants` builds again and again. Prints one line per failed seed.
func option(_ name: String) -> UInt64? {
  guard let place = CommandLine.arguments.firstIndex(of: name), place + 1 < CommandLine.arguments.count else { return nil }
  return UInt64(CommandLine.arguments[place + 1])
}
func has(_ flag: String) -> Bool { CommandLine.arguments.contains(flag) }

@Sendable func say(_ text: String) {
  let bytes = Array((text + "\n").utf8)
  _ = write(1, bytes, bytes.count)
}

func readLine(from file: UnsafeMutablePointer<FILE>) -> String? {
  var buffer = [UInt8](repeating: 0, count: 1024)
  guard fgets(&buffer, 1024, file) != nil else { return nil }
  return String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
}

// A failed precondition ends the process: it says which seeds were under way.
for number in [SIGILL, SIGTRAP, SIGSEGV, SIGABRT, SIGBUS] {
  signal(number) { _ in
    for job in 0..<SeedsUnderWay.capacity {
      if let seed = SeedRunner.underWay[job] { say("FAILED seed \(seed): trap") }
    }
    _exit(2)
  }
}

activeMutant = Int(option("--mutant") ?? 0)

if let place = CommandLine.arguments.firstIndex(of: "--scenario") {
  var failures = 0
  for path in CommandLine.arguments[(place + 1)...] where path.hasSuffix(".txt") {
    guard let file = fopen(path, "r") else { exit(1) }
    var text = ""
    while let line = readLine(from: file) { text += line }
    if let problem = Scenario.run(text, print: has("--trace") ? { say($0) } : nil) {
      say("FAILED scenario \(path): \(problem)")
      failures += 1
    }
  }
  exit(failures == 0 ? 0 : 1)
}

if let seed = option("--seed") {
  let options = SimulationOptions(seed: seed)
  say("\(options)")
  let report = SeedRunner().run(options, print: has("--trace") ? { say($0) } : nil)
  if let violation = report.violation {
    say("FAILED seed \(seed): \(violation.property): \(violation.detail)")
    exit(1)
  }
  say("clean: \(report.stamped) packets, \(report.transmitted) out, \(report.eventCount) events")
  exit(0)
}

let clock = ContinuousClock()
let start = clock.now
let summary = SeedRunner.run(
  from: option("--from") ?? 1, count: option("--seeds") ?? UInt64(Summary.enoughRuns), jobs: Int(option("--jobs") ?? 1),
  keepsGoing: has("--keep-going"))
let time = (clock.now - start).components
let seconds = Double(time.seconds) + Double(time.attoseconds) * 1e-18
if has("--table") { say(summary.text(seconds: seconds)) }
for failure in summary.failures.prefix(20) {
  say("FAILED seed \(failure.seed): \(failure.violation!.property): \(failure.violation!.detail)")
}
say(
  "\(summary.runs) seeds, \(summary.failures.count) failed, \(Int(Double(summary.runs) / seconds)) seeds/s; missing: \(summary.missing)"
)
exit(summary.failures.isEmpty ? 0 : 1)
