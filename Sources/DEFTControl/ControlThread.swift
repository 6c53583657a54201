import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// The thread that control nodes run on: one event loop. A node has one of its own unless it is given another's. Several
/// nodes of one process share one where there are more nodes than CPUs for them: taking turns on one thread is cheaper
/// than switching between threads. They talk over TCP all the same.
///
/// Must be joined, after the nodes that run on it were stopped.
public final class ControlThread: Sendable {
  let eventLoop: any EventLoop
  /// nil: somebody else needs this CPU, so the thread sleeps whenever it can.
  let poller: BusyPoller?
  private let group: MultiThreadedEventLoopGroup
  private let isJoined = Atomic(false)

  /// - Parameters:
  ///   - ownsCPU: no lcore runs on the thread's CPU, so it may poll there while there is work.
  ///   - onStart: runs once on the thread before anything else, to name it and pin it to its CPU.
  public convenience init(ownsCPU: Bool = false, onStart: @escaping @Sendable () -> Void = {}) throws {
    try self.init(ownsCPU: ownsCPU, cpuTime: BusyPoller.threadCPUTime, onStart: onStart)
  }

  init(ownsCPU: Bool, cpuTime: @escaping @Sendable () -> Int64, onStart: @escaping @Sendable () -> Void = {}) throws {
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    eventLoop = group.next()
    // A peer or an lcore that writes to a closed end gets an error, not a signal.
    _ = signal(SIGPIPE, SIG_IGN)
    do {
      poller = ownsCPU ? try BusyPoller(eventLoop, cpuTime: cpuTime) : nil
      try eventLoop.submit(onStart).wait()
    } catch {
      try? group.syncShutdownGracefully()
      throw error
    }
  }

  /// Ends the thread. A second call does nothing.
  public func join() {
    guard !isJoined.exchange(true, ordering: .relaxed) else { return }
    if let poller { try? eventLoop.submit { poller.stop() }.wait() }
    try? group.syncShutdownGracefully()
  }
}
