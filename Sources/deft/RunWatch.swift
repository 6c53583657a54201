import DEFTDataplane
import Foundation
import Synchronization

/// Watches a pipeline from start to end: shows the table, ends the intake after `duration` or on Ctrl-C, waits until
/// everything on its way is out, and stops the lcores.
struct RunWatch: @unchecked Sendable {
  let pipeline: any AnyPipeline
  /// Seconds; nil: until the source ends.
  let duration: Double?
  var table: LiveTable?

  struct Outcome {
    /// Nothing was left on its way.
    var drained: Bool
    /// Seconds from the start until the last packet was out.
    var elapsed: Double
  }

  /// A pipeline that moves nothing for this long while it should drain is stuck.
  static let patience = 5.0

  /// - Parameters:
  ///   - pinningWatcher: called on the watching thread if that is a new one.
  ///   - pinningDirector: called on the thread that carries out planned changes.
  func run(
    pinningWatcher: @escaping @Sendable () -> Void, pinningDirector: @escaping @Sendable () -> Void
  ) throws -> Outcome {
    Interruption.install()
    let started = ContinuousClock.now
    try pipeline.start(pinningDirector: pinningDirector)
    // With no worker lcore this thread is the lcore, and another one watches.
    let box = OutcomeBox()
    let watcher = Thread {
      pinningWatcher()
      var watch = self
      box.finish(watch.watch(since: started))
    }
    watcher.start()
    pipeline.runOnMainLcoreIfNeeded()
    return box.wait()
  }

  private mutating func watch(since started: ContinuousClock.Instant) -> Outcome {
    func elapsed() -> Double { (ContinuousClock.now - started) / .seconds(1) }
    var nextTable = 0.0
    var ending = false
    var lastMoved = 0.0
    var lastCount: UInt64 = 0
    var drained = false
    while true {
      if pipeline.isDrained {
        drained = true
        break
      }
      let now = elapsed()
      if !ending, Interruption.happened || duration.map({ now >= $0 }) ?? false {
        pipeline.stopIntake()
        ending = true
        lastMoved = now
      }
      let report = pipeline.report()
      let count =
        report.received &+ report.processed &+ report.transmitted
        &+ report.pairs.reduce(0) { $0 &+ $1.primary.stateClocksApplied }
      if count != lastCount {
        lastCount = count
        lastMoved = now
      }
      // A port may be silent for as long as it likes; what has been received may not stand still.
      if now - lastMoved > RunWatch.patience,
        ending || report.received != report.transmitted + report.droppedByFunction + report.droppedUnstamped
      {
        break
      }
      if table != nil, now >= nextTable {
        table?.show(report)
        nextTable = now + 1
      }
      Thread.sleep(forTimeInterval: now < 0.2 ? 0.001 : 0.01)
    }
    let total = elapsed()
    let last = pipeline.report()
    table?.show(last)
    pipeline.stopIntake()
    pipeline.stop()
    return Outcome(drained: drained, elapsed: total)
  }
}

/// Hands the outcome from the watching thread to the waiting one.
private final class OutcomeBox: @unchecked Sendable {
  private let done = DispatchSemaphore(value: 0)
  private var outcome: RunWatch.Outcome?
  func finish(_ outcome: RunWatch.Outcome) {
    self.outcome = outcome
    done.signal()
  }
  func wait() -> RunWatch.Outcome {
    done.wait()
    return outcome!
  }
}

/// Ctrl-C and SIGTERM end the intake; what is on its way still leaves. A second Ctrl-C ends the process.
enum Interruption {
  private static let flag = Atomic<Bool>(false)
  static var happened: Bool { flag.load(ordering: .relaxed) }
  static func install() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Interruption.flag.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
    signal(SIGPIPE, SIG_IGN)
    // Whoever started this process may have left them blocked.
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGINT, SIGTERM] { sigaddset(&signals, number) }
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }
}
