import DEFTMailbox
import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// The control plane of one logical node: on a thread off the fast path it carries whole messages between the rings of this
/// node's lcores and the control threads of other nodes, over TCP. It checks lengths, kinds and pairs, and never looks at
/// an entry.
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
  private let thread: ControlThread
  private let ownsThread: Bool
  private let loop: ControlLoop
  private let stage = Mutex(Stage.made)
  /// The event loop owns, and closes, the doorbell's reading end.
  private let isDoorbellWatched = Atomic(false)

  /// - Parameters:
  ///   - host: address to listen on.
  ///   - port: 0 for any that is free.
  ///   - thread: what it runs on; the caller joins it. nil: one of its own.
  public init(
    nodeID: UInt32, host: String = "127.0.0.1", port: Int = 0, on thread: ControlThread? = nil,
    logger: Logger = Logger(label: "deft.control")
  ) throws {
    guard let doorbell = Doorbell() else { throw ControlError.noDescriptors }
    self.nodeID = nodeID
    self.doorbell = doorbell
    self.host = host
    self.port = port
    var logger = logger
    logger[metadataKey: "node"] = "\(nodeID)"
    ownsThread = thread == nil
    self.thread = try thread ?? ControlThread()
    loop = ControlLoop(self.thread, nodeID: nodeID, doorbell: doorbell, logger: logger)
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

  /// Closes all connections and joins the thread, if it is the node's own. Afterwards no ring is touched, and the doorbell
  /// may be rung in vain.
  /// What lies in the rings stays there. A second call does nothing.
  public func stop() {
    let isFirst = stage.withLock { stage in
      defer { stage = .stopped }
      return stage != .stopped
    }
    guard isFirst else { return }
    let loop = loop
    try? loop.eventLoop.submit { loop.stop() }.wait()
    if ownsThread { thread.join() }
  }

  private func onLoop(_ work: @escaping @Sendable (ControlLoop) throws -> Void) throws {
    guard stage.withLock({ $0 != .stopped }) else { throw ControlError.stopped }
    let loop = loop
    try loop.eventLoop.submit { try work(loop) }.wait()
  }
}
