import Foundation
import Testing

/// The built `deft`.
enum Deft {
  struct NotFound: Error, CustomStringConvertible {
    var description: String { "no deft next to the tests; build it (swift build --product deft) or set DEFT_BINARY" }
  }

  /// What DEFT_BINARY names, else the one in the folder that the tests were built into.
  static let path: String? = {
    if let path = ProcessInfo.processInfo.environment["DEFT_BINARY"], !path.isEmpty { return path }
    let starts = CommandLine.arguments + [Bundle.main.executablePath, Bundle.main.bundlePath].compactMap { $0 }
    for start in starts where start.hasPrefix("/") {
      var folder = URL(fileURLWithPath: start)
      while folder.path != "/" {
        folder.deleteLastPathComponent()
        let candidate = folder.appendingPathComponent("deft").path
        var isDirectory: ObjCBool = false
        if FileManager.default.fileExists(atPath: candidate, isDirectory: &isDirectory), !isDirectory.boolValue,
          FileManager.default.isExecutableFile(atPath: candidate)
        {
          return candidate
        }
      }
    }
    return nil
  }()

  /// Runs to the end, 60 s at most.
  /// - Parameter launcher: a command that starts another one, with its arguments: `["taskset", "-c", "0"]`.
  static func run(_ arguments: [String], launcher: [String] = [], in directory: WorkDirectory) async throws -> DeftRun {
    try await RunningDeft(arguments, launcher: launcher, in: directory).end()
  }

  /// `deft replay` with a JSON summary on standard output and nothing on standard error.
  static func replay(
    _ input: String, _ output: String, _ options: [String] = [], eal: [String] = [], launcher: [String] = [],
    in directory: WorkDirectory
  ) async throws -> DeftRun {
    let before = eal.isEmpty ? [] : eal + ["--"]
    return try await run(
      ["replay"] + before + [input, output] + options + ["--json", "-", "--quiet"], launcher: launcher, in: directory)
  }
}

/// How a process ended.
struct DeftRun: CustomStringConvertible {
  let command: String
  /// Exit status; 128 + the signal if one ended it.
  let status: Int32
  let output: String
  let errors: String
  let seconds: Double

  /// What a failure shows: the command line to repeat it, and what it said.
  var description: String {
    "exit status \(status) after \(String(format: "%.2f", seconds)) s; repeat with:\n  \(command)\n\(errors.prefix(1500))"
  }
  var errorLines: [Substring] { errors.split(separator: "\n") }

  func summary() throws -> Summary {
    do {
      return try JSONDecoder().decode(Summary.self, from: Data(output.utf8))
    } catch {
      throw BadSummary(description: "no JSON summary (\(error)): \(self)")
    }
  }
  struct BadSummary: Error, CustomStringConvertible { let description: String }
}

/// A started `deft`.
final class RunningDeft {
  private static let patience = 60.0
  private let process = Process()
  private let command: String
  private let outputFile: URL
  private let errorFile: URL
  private let started = ContinuousClock.now

  init(_ arguments: [String], launcher: [String] = [], in directory: WorkDirectory) throws {
    guard let path = Deft.path else { throw Deft.NotFound() }
    let words = launcher + [path] + arguments
    command = words.map { $0.contains(where: { " ()'*;".contains($0) }) ? "'\($0)'" : $0 }.joined(separator: " ")
    // Files, not pipes: nobody has to read while the process writes.
    outputFile = directory.logs.appendingPathComponent("stdout")
    errorFile = directory.logs.appendingPathComponent("stderr")
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.currentDirectoryURL = directory.folder
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try Self.create(outputFile)
    process.standardError = try Self.create(errorFile)
    try process.run()
  }

  private static func create(_ file: URL) throws -> FileHandle {
    try Data().write(to: file)
    return try FileHandle(forWritingTo: file)
  }

  var errorsSoFar: String { (try? String(contentsOf: errorFile, encoding: .utf8)) ?? "" }
  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// Waits for the end; a process that takes too long is killed, and that is a failure.
  func end() async throws -> DeftRun {
    while process.isRunning {
      if elapsed > Self.patience {
        send(SIGKILL)
        Issue.record("killed after \(Self.patience) s: \(command)\n\(errorsSoFar.suffix(1000))")
        break
      }
      try await Task.sleep(for: .milliseconds(5))
    }
    process.waitUntilExit()
    let status = process.terminationStatus
    return DeftRun(
      command: command, status: process.terminationReason == .exit ? status : 128 + status,
      output: try String(contentsOf: outputFile, encoding: .utf8), errors: errorsSoFar, seconds: elapsed)
  }

  private var elapsed: Double { (ContinuousClock.now - started) / .seconds(1) }
}
