import Foundation
import Testing

/// Runs one of the benchmarks that were built with the tests and reads its figures.
enum Benchmark {
  struct Figure: Equatable {
    let value: Double
    let unit: String?
  }
  struct Failure: Error, CustomStringConvertible { let description: String }

  static let hasTestpmd = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    .contains { FileManager.default.isExecutableFile(atPath: "\($0)/dpdk-testpmd") }

  /// By name. A line that is neither a remark nor a figure is a failure.
  static func run(_ name: String, _ arguments: [String]) throws -> [String: Figure] {
    let process = Process()
    process.executableURL = try place(name)
    process.arguments = arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.standardError
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(description: "\(name): exit status \(process.terminationStatus)\n\(text)")
    }
    var figures: [String: Figure] = [:]
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let words = line.split(separator: " ")
      guard (2...3).contains(words.count), let value = Double(words[1]), value.isFinite else {
        throw Failure(description: "\(name): not a figure: \(line)")
      }
      #expect(figures[String(words[0])] == nil, "\(words[0]) is printed twice")
      figures[String(words[0])] = Figure(value: value, unit: words.count == 3 ? String(words[2]) : nil)
    }
    return figures
  }

  /// In the folder that the tests were built into.
  private static func place(_ name: String) throws -> URL {
    for start in CommandLine.arguments + [Bundle.main.executablePath, Bundle.main.bundlePath].compactMap({ $0 })
    where start.hasPrefix("/") {
      var folder = URL(fileURLWithPath: start)
      while folder.path != "/" {
        folder.deleteLastPathComponent()
        let candidate = folder.appendingPathComponent(name)
        if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
      }
    }
    throw Failure(description: "no \(name) next to the tests")
  }
}
