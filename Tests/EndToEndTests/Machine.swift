import Foundation

/// What the machine offers to the tests.
enum Machine {
  /// CPUs that this process may use.
  static let cpus: [Int] = {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("Cpus_allowed_list:") }) else { return [] }
    return line.dropFirst("Cpus_allowed_list:".count).split(separator: ",").flatMap { range -> [Int] in
      let ends = range.split(separator: "-").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
      guard let first = ends.first, let last = ends.last else { return [] }
      return Array(first...last)
    }
  }()

  static var isRoot: Bool { geteuid() == 0 }
  static var hasTaskset: Bool { find("taskset") != nil }
  static var hasTshark: Bool { find("tshark") != nil }
  static var hasIP: Bool { find("ip") != nil }

  /// The program's place on the PATH.
  static func find(_ program: String) -> String? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":") + ["/usr/sbin", "/sbin"]
    return folders.map { "\($0)/\(program)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Runs a program of the system's to its end; nil if it fails.
  static func run(_ program: String, _ arguments: [String]) throws -> String? {
    guard let path = find(program) else { return nil }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return process.terminationStatus == 0 ? String(decoding: output, as: UTF8.self) : nil
  }
}
