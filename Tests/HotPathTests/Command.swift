import Foundation
import Testing

/// Runs a program of the system's to its end.
enum Command {
  struct Failure: Error, CustomStringConvertible { let description: String }

  static func find(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// What it wrote to standard output; its complaints are thrown.
  @discardableResult
  static func run(_ program: String, _ arguments: [String], environment: [String: String] = [:]) throws -> Data {
    guard let path = program.hasPrefix("/") ? program : find(program) else {
      throw Failure(description: "\(program) is not installed")
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = output
    // Apart from the pipe, so that nobody waits for the other.
    let folder = FileManager.default.temporaryDirectory
    let errors = folder.appendingPathComponent("deft-hotpath-\(UUID().uuidString)")
    try Data().write(to: errors)
    defer { try? FileManager.default.removeItem(at: errors) }
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationReason == .exit, process.terminationStatus == 0 else {
      let complaint = String(decoding: try Data(contentsOf: errors), as: UTF8.self)
      throw Failure(
        description: "\(program) \(arguments.joined(separator: " ")): \(process.terminationStatus): \(complaint)")
    }
    return data
  }
}

/// The optimised `deft`: what DEFT_BINARY names, else the release build of this checkout. Only optimised code is worth looking
/// at; `make test` builds it first.
enum ReleaseBinary {
  static let missing: Comment = "no release build of deft: swift build -c release --product deft, or set DEFT_BINARY"
  static let path: String? = {
    if let given = ProcessInfo.processInfo.environment["DEFT_BINARY"], !given.isEmpty { return given }
    let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let path = checkout.appendingPathComponent(".build/release/deft").path
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
  }()
}
