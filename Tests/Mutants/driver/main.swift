import Foundation

// Applies the mutants of mutants.txt to this scratch copy, runs seeds of the simulator until one sees each, and prints a table.
// Most share one build, in which a bug is chosen at run time; the others get a build each. Arguments: names of mutants to try;
// none: all. Status 1 if one is not caught or does not apply.
let seedLimit = 20_000
let seedsBeforeScenarios = 2_000
let root = URL(fileURLWithPath: FileManager.default.currentDirectoryPath)
let wanted = Set(CommandLine.arguments.dropFirst())

/// At once, also into a pipe.
func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

func run(_ tool: String, _ arguments: [String], seconds: Double) -> (status: Int32, output: String) {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["timeout", String(seconds), tool] + arguments
  process.currentDirectoryURL = root
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  guard (try? process.run()) != nil else { return (-1, "cannot run \(tool)") }
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (process.terminationStatus, String(decoding: data, as: UTF8.self))
}

func build() -> String? {
  let result = run("swift", ["build", "-c", "release", "--product", "simulate"], seconds: 1_800)
  return result.status == 0 ? nil : result.output
}
func path(_ file: String) -> URL { root.appendingPathComponent("Sources/" + file) }
func read(_ file: String) -> String? { try? String(contentsOf: path(file), encoding: .utf8) }
func write(_ text: String, _ file: String) { try? text.write(to: path(file), atomically: true, encoding: .utf8) }

struct Verdict {
  var isCaught: Bool
  var seed: String
  var how: String
}

/// What sees the bug that the simulator was built with: one of the first seeds, a directed scenario, or one of many seeds.
func judge(_ number: Int) -> Verdict {
  judgeBySeeds(number, from: 1, count: seedsBeforeScenarios) ?? judgeByScenarios(number)
    ?? judgeBySeeds(number, from: seedsBeforeScenarios + 1, count: seedLimit - seedsBeforeScenarios)
    ?? Verdict(isCaught: false, seed: "-", how: "not seen in \(seedLimit) seeds")
}

func judgeBySeeds(_ number: Int, from: Int, count: Int) -> Verdict? {
  let arguments = ["--from", String(from), "--seeds", String(count), "--mutant", String(number)]
  let result = run(".build/release/simulate", arguments, seconds: 900)
  // A run that never ends has been noticed, too.
  if result.status == 124 { return Verdict(isCaught: true, seed: "?", how: "a run does not end") }
  guard let line = result.output.split(separator: "\n").first(where: { $0.hasPrefix("FAILED") }) else { return nil }
  let words = line.split(separator: " ", maxSplits: 4).map(String.init)
  return Verdict(isCaught: true, seed: String(words[2].dropLast()), how: String(words[3].prefix { $0 != ":" }))
}

/// What seeds are too rare for, a directed scenario may show.
func judgeByScenarios(_ number: Int) -> Verdict? {
  let names = (try? FileManager.default.contentsOfDirectory(atPath: "Scenarios"))?.sorted() ?? []
  let arguments = ["--mutant", String(number), "--scenario"] + names.map { "Scenarios/" + $0 }
  let result = run(".build/release/simulate", arguments, seconds: 60)
  guard let line = result.output.split(separator: "\n").first(where: { $0.hasPrefix("FAILED") }) else { return nil }
  let words = line.split(separator: " ", maxSplits: 3).map(String.init)
  return Verdict(isCaught: true, seed: "-", how: "scenario " + words[2].dropFirst("Scenarios/".count).prefix { $0 != "." })
}

/// A bug with a build of its own.
func judgeAlone(_ mutant: Mutant) -> Verdict {
  guard let source = read(mutant.file) else { return Verdict(isCaught: false, seed: "-", how: "no such file") }
  guard let changed = mutant.apply(to: source) else {
    return Verdict(isCaught: false, seed: "-", how: "does not apply: its lines are not there once")
  }
  defer { write(source, mutant.file) }
  write(changed, mutant.file)
  if let problem = build() {
    let line = problem.split(separator: "\n").first { $0.contains("error:") } ?? "build failed"
    return Verdict(isCaught: false, seed: "-", how: String(line))
  }
  return judge(0)
}

let text = (try? String(contentsOf: root.appendingPathComponent("mutants.txt"), encoding: .utf8)) ?? ""
let mutants = Mutant.parse(text).filter { wanted.isEmpty || wanted.contains($0.name) }
write("/// The bug in force; 0: none.\npublic nonisolated(unsafe) var activeMutant = 0\n", "DEFTCore/ActiveMutant.swift")

// Those that a switch can choose.
var sources: [String: String] = [:]
var isSwitched = [Bool](repeating: false, count: mutants.count)
for index in mutants.indices where !isSwitched[index] {
  let mutant = mutants[index]
  let same = mutants.indices.filter { mutants[$0].file == mutant.file && mutants[$0].old == mutant.old }
  let switched = SwitchedMutants(
    old: mutant.old.map(Mutant.bare), new: same.map { ($0 + 1, mutants[$0].new.map(Mutant.bare)) })
  guard let lines = switched.lines, let source = sources[mutant.file] ?? read(mutant.file) else { continue }
  var all = mutant
  all.new = lines
  guard let changed = all.apply(to: source) else { continue }
  if sources[mutant.file] == nil { sources[mutant.file] = source }
  sources[mutant.file] = changed
  for place in same { isSwitched[place] = true }
}
let originals = sources.keys.reduce(into: [String: String]()) { $0[$1] = read($1) }
for (file, source) in sources { write(source, file) }
if let problem = build() {
  say(problem)
  exit(1)
}
let sound = run(".build/release/simulate", ["--seeds", "2000"], seconds: 600)
guard sound.status == 0 else {
  say("the unchanged core fails:\n\(sound.output)")
  exit(1)
}
say("# \(isSwitched.count { $0 }) of \(mutants.count) in one build")
say("| mutant | rule | seed that saw it | as |\n|---|---|---|---|")
var missed: [String] = []
@MainActor func note(_ mutant: Mutant, _ verdict: Verdict) {
  say("| \(mutant.name) | \(mutant.rule) | \(verdict.seed) | \(verdict.how) |")
  if !verdict.isCaught { missed.append(mutant.name) }
}
for index in mutants.indices where isSwitched[index] { note(mutants[index], judge(index + 1)) }
for (file, source) in originals { write(source, file) }
for index in mutants.indices where !isSwitched[index] { note(mutants[index], judgeAlone(mutants[index])) }
say("\(mutants.count - missed.count) of \(mutants.count) mutants are seen" + (missed.isEmpty ? "" : "; not: \(missed)"))
exit(missed.isEmpty ? 0 : 1)
