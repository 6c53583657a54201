import Foundation

// Applies each mutant of mutants.txt to this scratch copy, builds the simulator, runs seeds until one sees it, and prints a
// table. Arguments: names of mutants to try; none: all. Status 1 if one is not caught or does not apply.
let seedLimit = 20_000
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
  let result = run("swift", ["build", "-c", "release", "--product", "simulate"], seconds: 900)
  return result.status == 0 ? nil : result.output
}

/// What sees the mutant, or why nothing does.
func judge(_ mutant: Mutant) -> (isCaught: Bool, seed: String, how: String) {
  let path = root.appendingPathComponent("Sources/" + mutant.file)
  guard let source = try? String(contentsOf: path, encoding: .utf8) else { return (false, "-", "no such file") }
  guard let changed = mutant.apply(to: source) else { return (false, "-", "does not apply: its lines are not there once") }
  defer { try? source.write(to: path, atomically: true, encoding: .utf8) }
  guard (try? changed.write(to: path, atomically: true, encoding: .utf8)) != nil else { return (false, "-", "cannot write") }
  if let problem = build() {
    let line = problem.split(separator: "\n").first { $0.contains("error:") } ?? "build failed"
    return (false, "-", String(line))
  }
  let result = run(".build/release/simulate", ["--seeds", String(seedLimit)], seconds: 600)
  // A run that never ends has been noticed, too.
  if result.status == 124 { return (true, "?", "a run does not end") }
  guard let line = result.output.split(separator: "\n").first(where: { $0.hasPrefix("FAILED") }) else {
    return (false, "-", "not seen in \(seedLimit) seeds")
  }
  let words = line.split(separator: " ", maxSplits: 3).map(String.init)
  return (true, String(words[2].dropLast()), String(words[3].prefix(90)))
}

let text = (try? String(contentsOf: root.appendingPathComponent("mutants.txt"), encoding: .utf8)) ?? ""
let mutants = Mutant.parse(text).filter { wanted.isEmpty || wanted.contains($0.name) }
if let problem = build() {
  say(problem)
  exit(1)
}
let sound = run(".build/release/simulate", ["--seeds", "500"], seconds: 600)
guard sound.status == 0 else {
  say("the unchanged core fails:\n\(sound.output)")
  exit(1)
}
say("| mutant | rule | seed that saw it | as |\n|---|---|---|---|")
var missed: [String] = []
for mutant in mutants {
  let verdict = judge(mutant)
  say("| \(mutant.name) | \(mutant.rule) | \(verdict.seed) | \(verdict.how) |")
  if !verdict.isCaught { missed.append(mutant.name) }
}
_ = build()
say("\(mutants.count - missed.count) of \(mutants.count) mutants are seen" + (missed.isEmpty ? "" : "; not: \(missed)"))
exit(missed.isEmpty ? 0 : 1)
