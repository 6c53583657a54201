import Dispatch
import Synchronization

/// What one run showed.
public struct RunReport: Sendable {
  public let seed: UInt64
  public let options: SimulationOptions
  public let violation: Violation?
  public let occurrences: Occurrences
  public let stamped: Int
  public let transmitted: Int
  /// Virtual time, ns, and events handled.
  public let duration: UInt64
  public let eventCount: UInt64
}

/// Runs seeds. One thread uses one of these for all its runs.
public final class SeedRunner {
  private let arena = SimulationArena()
  public init() {}

  /// One whole run. `print`: gets a readable line for every step of it.
  public func run(_ options: SimulationOptions, print: ((String) -> Void)? = nil) -> RunReport {
    defer { arena.reset() }
    let simulation = Simulation(options, arena: arena, print: print)
    simulation.run()
    return RunReport(
      seed: options.seed, options: options, violation: simulation.violation, occurrences: simulation.occurrences,
      stamped: simulation.stamped, transmitted: simulation.transmitted, duration: simulation.now,
      eventCount: simulation.eventCount)
  }

  /// Seeds under way, for whoever is told that the process dies: a failed precondition is a finding, too.
  public static let underWay = SeedsUnderWay()

  /// Runs `count` seeds from `first` on, on `jobs` threads. Stops at the first violation unless `keepsGoing`.
  /// `progress` is called now and then with how many are done; `limit` changes each run's options.
  public static func run(
    from first: UInt64, count: UInt64, jobs: Int, keepsGoing: Bool = false,
    limit: @Sendable @escaping (inout SimulationOptions) -> Void = { _ in },
    progress: @Sendable @escaping (UInt64) -> Void = { _ in }
  ) -> Summary {
    let next = Atomic<UInt64>(0)
    let isStopped = Atomic<Bool>(false)
    let shared = Mutex(Summary())
    DispatchQueue.concurrentPerform(iterations: jobs) { job in
      let runner = SeedRunner()
      var own = Summary()
      while !isStopped.load(ordering: .relaxed) {
        let place = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard place < count else { break }
        underWay.note(first + place, job: job)
        var options = SimulationOptions(seed: first + place)
        limit(&options)
        let report = runner.run(options)
        own.add(report)
        if report.violation != nil, !keepsGoing { isStopped.store(true, ordering: .relaxed) }
        if place % 256 == 255 { progress(place + 1) }
      }
      shared.withLock { $0.add(own) }
    }
    return shared.withLock { $0 }
  }
}

/// Which seed each thread works on; read by a signal handler.
public final class SeedsUnderWay: Sendable {
  public static let capacity = 64
  private let seeds: [Word] = (0..<capacity).map { _ in Word() }
  private final class Word: Sendable { let value = Atomic<UInt64>(.max) }

  fileprivate func note(_ seed: UInt64, job: Int) {
    if job < seeds.count { seeds[job].value.store(seed, ordering: .relaxed) }
  }
  /// nil: that thread has not begun.
  public subscript(job: Int) -> UInt64? {
    let seed = seeds[job].value.load(ordering: .relaxed)
    return seed == .max ? nil : seed
  }
}
