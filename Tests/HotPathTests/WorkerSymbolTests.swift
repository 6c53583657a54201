import Foundation
import Testing

/// Everything that a worker lcore may run, found by following the calls from its loop, is free of reference counting,
/// allocation, generic dispatch and locks.
@Suite(
  "Worker symbols",
  .enabled(if: ReleaseBinary.path != nil, ReleaseBinary.missing),
  .enabled(if: Command.find("objdump") != nil, "objdump is not installed (Debian: binutils)"))
struct WorkerSymbolTests {
  /// Read once: the disassembly is long.
  private static let read = Result { try CallGraph(disassembling: ReleaseBinary.path!) }
  private let graph: CallGraph

  init() throws { graph = try Self.read.get() }

  /// The loop, once for each NF: `LcoreLoop.loop`, specialised (a mangled name ending in Tg5).
  private var loops: [String] {
    graph.symbols { $0.hasPrefix("$s13DEFTDataplane9LcoreLoopV4loop") && $0.hasSuffix("Tg5") }
  }

  /// Swift's runtime as a whole: retain, release, allocObject, bridgeObject…, beginAccess, getGenericMetadata,
  /// getWitnessTable, getAssociatedTypeWitness, once … none has a place on a worker.
  private static func isForbidden(_ symbol: String) -> Bool {
    symbol.hasPrefix("swift_") || symbol.hasPrefix("__swift_")
      || [
        "malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign", "free", "mmap",
        "munmap", "rte_malloc", "rte_zmalloc", "rte_free", "pthread_mutex_lock", "pthread_cond_wait", "objc_msgSend",
      ].contains(symbol)
  }

  @Test("the loop is specialised for every NF")
  func specialised() {
    for function in ["Monitor", "Firewall"] {
      #expect(
        loops.contains { $0.contains("16NetworkFunctions\(function.utf8.count)\(function)") },
        "no LcoreLoop.loop for \(function); there are: \(loops)")
    }
  }

  @Test("nothing that a worker can call allocates, counts references or looks up types")
  func clean() {
    let reached = graph.reachable(from: loops)
    print("looked at \(reached.count) symbols that worker lcores may run (DEFT_LIST_SYMBOLS=1 lists them)")
    if ProcessInfo.processInfo.environment["DEFT_LIST_SYMBOLS"] == "1" {
      print(reached.keys.sorted().joined(separator: "\n"))
    }
    for symbol in reached.keys where Self.isForbidden(symbol) {
      Issue.record("a worker calls \(symbol): \(way(to: symbol, reached))")
    }
    // A generic function that was not specialised gets its types at run time.
    for symbol in reached.keys where Self.genericTypes.contains(where: { symbol.hasPrefix($0) }) {
      #expect(symbol.contains("Tg"), "a worker calls unspecialised generic code: \(way(to: symbol, reached))")
    }
  }

  private static let genericTypes = [
    "$s13DEFTDataplane9LcoreLoopV", "$s13DEFTDataplane12PrimaryStageV", "$s13DEFTDataplane14SecondaryStageV",
    "$s8DEFTCore14PrimaryReplicaV", "$s8DEFTCore16SecondaryReplicaV", "$s8DEFTCore11EgressChainV",
  ]

  /// What is marked `@inline(never)`, or far too large to be inlined, has symbols of its own: if one of these is missing the
  /// check above looked at something else. Everything smaller is part of them or of the loop.
  @Test(
    "was among what was looked at",
    arguments: [
      "13DEFTDataplane12StamperStageV4poll", "13DEFTDataplane16DistributorStageV4poll", "13DEFTDataplane11EgressStageV4poll",
      "13DEFTDataplane14SecondaryStageV4tell", "8DEFTCore14PrimaryReplicaVAARi_0_rlE5order",
      "8DEFTCore14PrimaryReplicaVAARi_0_rlE10runPending", "8DEFTCore14PrimaryReplicaVAARi_0_rlE5close",
      "8DEFTCore14PrimaryReplicaVAARi_0_rlE14takeStateClock", "8DEFTCore16SecondaryReplicaV5order",
    ])
  func looked(at name: String) {
    let reached = graph.reachable(from: loops)
    #expect(reached.keys.contains { $0.hasPrefix("$s" + name) }, "\(name)… is not called by any worker")
  }

  /// Inlined or not, what every stage cannot do without is called from the loop.
  @Test(
    "every stage is in the loop",
    arguments: [
      "cd_rx_burst", "cd_ring_enqueue", "cd_ring_dequeue", "cd_release", "cd_tx_burst", "write",
    ])
  func stages(_ call: String) {
    #expect(graph.reachable(from: loops).keys.contains(call))
  }

  @Test("the check can fail: making a report allocates and counts references")
  func canFail() {
    let reports = graph.symbols { $0.hasPrefix("$s13DEFTDataplane8PipelineC6report") && $0.contains("Tg5") }
    #expect(!reports.isEmpty)
    let found = Set(graph.reachable(from: reports).keys.filter(Self.isForbidden))
    #expect(found.contains("swift_retain") || found.contains("swift_release"))
    #expect(found.contains("swift_allocObject") || found.contains("swift_slowAlloc") || found.contains("malloc"))
  }

  private func way(to symbol: String, _ callers: [String: String?]) -> String {
    var way = [symbol]
    while let caller = callers[way.last!] ?? nil { way.append(caller) }
    return way.joined(separator: " <- ")
  }
}
