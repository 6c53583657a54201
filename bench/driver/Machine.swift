import Foundation

/// What the figures depend on besides the code.
enum Machine {
  static var description: String {
    let information = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let model = information.split(separator: "\n").first { $0.hasPrefix("model name") }
      .flatMap { $0.split(separator: ":").last }?.trimmingCharacters(in: .whitespaces)
    return "\(model ?? "unknown CPU"), \(cpus.count) CPUs usable"
  }

  /// CPUs that this process may use, ascending: what its children get.
  static var cpus: [Int] {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    // `Cpus_allowed_list:	0-1,4`
    let list = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }?.split(
      whereSeparator: \.isWhitespace
    ).last
    let found = (list ?? "").split(separator: ",").flatMap { range -> [Int] in
      let ends = range.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last else { return [] }
      return Array(first...last)
    }
    return found.isEmpty ? [0] : found
  }
}

/// 2 MiB hugepages for both programs. Root reserves what is missing and gives it back at the end.
final class Hugepages: Sendable {
  private static let total = "/proc/sys/vm/nr_hugepages"
  private static let free = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
  /// To be written back.
  private let previous: Int?
  let areEnough: Bool
  let description: String

  init(wanted: Int) {
    let before = Hugepages.number(Hugepages.free)
    guard before < wanted, geteuid() == 0, let total = Hugepages.number(Hugepages.total, default: nil) else {
      previous = nil
      areEnough = before >= wanted
      description =
        areEnough
        ? "hugepages: \(before) of 2 MiB free"
        : "no hugepages (\(before) of 2 MiB free, \(wanted) wanted; root would reserve them): both programs are slower without"
      return
    }
    try? Hugepages.write(total - before + wanted)
    let after = Hugepages.number(Hugepages.free)
    previous = total
    areEnough = after >= wanted
    description =
      areEnough
      ? "hugepages: \(after) of 2 MiB reserved for this run"
      : "no hugepages (the kernel gave \(after) of \(wanted)): both programs are slower without"
    if !areEnough { restore() }
  }

  func restore() {
    if let previous { try? Hugepages.write(previous) }
  }

  private static func number(_ path: String) -> Int { number(path, default: 0) ?? 0 }
  private static func number(_ path: String, default other: Int?) -> Int? {
    (try? String(contentsOfFile: path, encoding: .utf8)).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
      ?? other
  }
  private static func write(_ count: Int) throws {
    try "\(count)\n".write(toFile: total, atomically: false, encoding: .utf8)
  }
}
