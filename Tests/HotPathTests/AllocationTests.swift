import Foundation
import Testing

/// Allocations of a running `deft`, counted by thread from the outside: a worker lcore makes as many in a long run as in a
/// short one, which is to say none for a packet.
@Suite(
  "Allocations", .serialized,
  .enabled(if: ReleaseBinary.path != nil, ReleaseBinary.missing),
  .enabled(if: Command.find("cc") != nil, "no C compiler to build the counter with"))
struct AllocationTests {
  private struct Run {
    /// Allocations by thread name; workers are called rte-worker-N.
    var counts: [String: Int] = [:]
    var packets: UInt64 = 0
    var workers: Int { counts.filter { $0.key.hasPrefix("rte-worker") }.values.reduce(0, +) }
    var others: Int { counts.values.reduce(0, +) - workers }
  }

  private let folder: URL
  private let library: String

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("deft-alloc-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    library = folder.appendingPathComponent("counter.so").path
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Preload/allocation_counter.c").path
    try Command.run("cc", ["-O2", "-shared", "-fPIC", "-o", library, source])
  }

  @Test(
    "workers allocate nothing per packet",
    arguments: [["--nf", "monitor"], ["--nf", "firewall", "--pairs", "2", "--stampers", "2"]])
  func steady(_ options: [String]) throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let capture = folder.appendingPathComponent("sample.pcap").path
    try Command.run(ReleaseBinary.path!, ["generate", capture, "--packets", "20000", "--seed", "1", "--quiet"])
    let short = try replay(capture, seconds: "0.3s", options)
    let long = try replay(capture, seconds: "1.5s", options)
    #expect(long.packets > short.packets, "\(long.packets) packets in the long run, \(short.packets) in the short one")
    #expect(
      long.workers == short.workers,
      "\(long.workers - short.workers) allocations for \(long.packets - short.packets) packets more: \(long.counts)")
    // The counter works, and it tells threads apart.
    #expect(short.others > 1000, "the counter saw next to nothing: \(short.counts)")
    #expect(short.counts.keys.contains { $0.hasPrefix("NIO") || $0.hasPrefix("deft") }, "\(short.counts)")
  }

  private func replay(_ capture: String, seconds: String, _ options: [String]) throws -> Run {
    let counts = folder.appendingPathComponent("counts").path
    let json = folder.appendingPathComponent("report.json").path
    try Command.run(
      ReleaseBinary.path!,
      ["replay", capture, "none", "--loop", "0", "--duration", seconds, "--quiet", "--json", json] + options,
      environment: ["LD_PRELOAD": library, "ALLOCATION_COUNTS": counts])
    var run = Run()
    for line in try String(contentsOfFile: counts, encoding: .utf8).split(separator: "\n") {
      guard let space = line.lastIndex(of: " "), let count = Int(line[line.index(after: space)...]) else { continue }
      run.counts[String(line[..<space]), default: 0] += count
    }
    struct Report: Decodable {
      struct Packets: Decodable { var transmitted: UInt64 }
      var packets: Packets
    }
    run.packets = try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(fileURLWithPath: json))).packets
      .transmitted
    return run
  }
}
