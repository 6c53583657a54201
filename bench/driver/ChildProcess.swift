import Foundation

struct BenchFailure: Error, CustomStringConvertible {
  let description: String
  init(_ text: String) { description = text }
}

/// Runs a program to its end. Both output streams go to files, so that neither side ever waits for the other.
struct ChildProcess {
  let path: String
  let arguments: [String]

  /// - Parameter script: lines for the program's standard input, each after so many seconds.
  /// - Returns: what it wrote to standard output.
  @discardableResult
  func run(script: [(after: Double, line: String)] = []) throws -> String {
    let directory = try WorkDirectory()
    defer { directory.remove() }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    let input = Pipe()
    process.standardInput = input
    let output = try directory.file("output")
    let errors = try directory.file("errors")
    process.standardOutput = output.handle
    process.standardError = errors.handle
    try process.run()
    Interruption.current = process
    for (delay, line) in script {
      Thread.sleep(forTimeInterval: delay)
      // A program that has ended must not end this one: SIGPIPE is ignored, and its status tells.
      try? input.fileHandleForWriting.write(contentsOf: Data("\(line)\n".utf8))
    }
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
    Interruption.current = nil
    let text = try String(decoding: Data(contentsOf: URL(fileURLWithPath: output.path)), as: UTF8.self)
    guard process.terminationReason == .exit, process.terminationStatus == 0 else {
      let complaint = try String(decoding: Data(contentsOf: URL(fileURLWithPath: errors.path)), as: UTF8.self)
      let last = (complaint + text).split(separator: "\n").last ?? "it said nothing"
      throw BenchFailure("\(path) \(arguments.joined(separator: " ")): status \(process.terminationStatus): \(last)")
    }
    return text
  }

  /// Where a command is on the PATH.
  static func find(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}

/// A temporary directory of this process's own.
struct WorkDirectory: Sendable {
  let path: String
  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("deft-bench-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  func remove() { try? FileManager.default.removeItem(atPath: path) }
  func file(_ name: String) throws -> (path: String, handle: FileHandle) {
    let file = "\(path)/\(name)"
    guard FileManager.default.createFile(atPath: file, contents: nil), let handle = FileHandle(forWritingAtPath: file)
    else { throw BenchFailure("cannot write \(file)") }
    return (file, handle)
  }
}

/// Ctrl-C and SIGTERM end the program that runs now and put the machine back as it was.
enum Interruption {
  nonisolated(unsafe) static var current: Process?
  nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []
  static func onSignal(_ cleanUp: @escaping @Sendable () -> Void) {
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        current?.terminate()
        current?.waitUntilExit()
        cleanUp()
        exit(128 + number)
      }
      source.resume()
      sources.append(source)
    }
  }
}
