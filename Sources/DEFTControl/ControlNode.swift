import DEFTMailbox
import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// The control thread of one logical node: one event loop, off the fast path, that carries whole messages between the
/// rings of this node's lcores and the control threads of other nodes, over TCP. It checks lengths, kinds and pairs, and
/// never looks at an entry.
///
/// All methods may be called from any thread but the control thread itself; they block until it has done what was asked.
/// A node that was made must be stopped, even if it was never started.
public final class ControlNode: Sendable {
  private enum Stage { case made, started, stopped }

  public let nodeID: UInt32
  /// Lcores of this node ring it after they have published to a ring that the control thread reads, after a rewind, and,
  /// if they like, after they have made room in a full inbox.
  public let doorbell: Doorbell
  private let host: String
  private let port: Int
  private let onThreadStart: @Sendable () -> Void
  private let group: MultiThreadedEventLoopGroup
  private let loop: ControlLoop
  private let stage = Mutex(Stage.made)
  /// The event loop owns, and closes, the doorbell's reading end.
  private let isDoorbellWatched = Atomic(false)

  /// - Parameters:
  ///   - host: address to listen on.
  ///   - port: 0 for any that is free.
  ///   - ownsCPU: no lcore runs on the control thread's CPU, so it may wait there for a vote.
  ///   - onThreadStart: runs once on the control thread before anything else, to name it and pin it to its CPU.
  public init(
    nodeID: UInt32, host: String = "127.0.0.1", port: Int = 0, ownsCPU: Bool = false,
    logger: Logger = Logger(label: "deft.control"),
    onThreadStart: @escaping @Sendable () -> Void = {}
  ) throws {
    guard let doorbell = Doorbell() else { throw ControlError.noDescriptors }
    self.nodeID = nodeID
    self.doorbell = doorbell
    self.host = host
    self.port = port
    self.onThreadStart = onThreadStart
    var logger = logger
    logger[metadataKey: "node"] = "\(nodeID)"
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    loop = ControlLoop(group.next(), nodeID: nodeID, doorbell: doorbell, ownsCPU: ownsCPU, logger: logger)
  }

  deinit {
    doorbell.close()
    if !isDoorbellWatched.load(ordering: .relaxed) { _ = Glibc.close(doorbell.readDescriptor) }
  }

  /// Begins to listen, to answer the doorbell and to dial. Pairs may be added before and after.
  /// - Returns: the port that other nodes' primaries connect to.
  public func start() throws -> Int {
    let isFirst = stage.withLock { stage in
      guard stage == .made else { return false }
      stage = .started
      return true
    }
    guard isFirst else { throw ControlError.alreadyStarted }
    // A peer or an lcore that writes to a closed end gets an error, not a signal.
    _ = signal(SIGPIPE, SIG_IGN)
    try loop.eventLoop.submit(onThreadStart).wait()
    let server = try loop.listen(host: host, port: port).wait()
    let bell = try loop.watchDoorbell().wait()
    isDoorbellWatched.store(true, ordering: .relaxed)
    let loop = loop
    try loop.eventLoop.submit { loop.run(server: server, bell: bell) }.wait()
    return server.localAddress?.port ?? port
  }

  /// This node hosts the secondary of a pair: it waits for the primary's node to connect.
  public func addSecondary(_ endpoint: SecondaryEndpoint) throws {
    try onLoop { try $0.add(endpoint) }
  }

  /// This node hosts the primary of a pair: it connects to the secondary's node, again and again until it succeeds.
  public func addPrimary(_ endpoint: PrimaryEndpoint, connectTo host: String, port: Int) throws {
    try onLoop { try $0.add(endpoint, host: host, port: port) }
  }

  /// Closes the pair's connection, in whichever role, and forgets it. Once this has returned the control thread does not
  /// touch the pair's rings any more.
  public func remove(pair: UInt16) throws {
    try onLoop { $0.remove(pair) }
  }

  /// For tests of R13: ends the pair's TCP connection as a failing host would, with a reset.
  public func cutConnection(pair: UInt16) {
    try? onLoop { $0.cut(pair) }
  }

  /// Any thread, at any time, also after `stop`.
  public var status: ControlStatus { loop.status }

  /// Several nodes of one process are about to stop: from now on a lost connection is neither reported nor dialed again.
  public func prepareToStop() {
    try? onLoop { $0.quiesce() }
  }

  /// Closes all connections and joins the thread. Afterwards no ring is touched, and the doorbell may be rung in vain.
  /// What lies in the rings stays there. A second call does nothing.
  public func stop() {
    let isFirst = stage.withLock { stage in
      defer { stage = .stopped }
      return stage != .stopped
    }
    guard isFirst else { return }
    let loop = loop
    try? loop.eventLoop.submit { loop.stop() }.wait()
    try? group.syncShutdownGracefully()
  }

  private func onLoop(_ work: @escaping @Sendable (ControlLoop) throws -> Void) throws {
    guard stage.withLock({ $0 != .stopped }) else { throw ControlError.stopped }
    let loop = loop
    try loop.eventLoop.submit { try work(loop) }.wait()
  }
}
