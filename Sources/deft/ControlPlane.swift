import DEFTControl
import DEFTCore
import DEFTDataplane
import DEFTMailbox
import Logging

/// The logical nodes of a process. Pair i has its primary on node i and its secondary on the next node, so the two replicas of
/// a pair are never on one node, and speak over TCP on the loopback interface. Nodes have control threads of their own as
/// far as there are CPUs for them.
final class ControlPlane: ReplicaLinks, @unchecked Sendable {
  let mailboxes: [PairMailbox]
  private var nodes: [ControlNode] = []
  private var threads: [ControlThread] = []
  /// By node: where it listens.
  private var ports: [Int] = []
  private var isStopped = false
  private let replication: ReplicationConfiguration
  private let networkFunction: String
  private let stateSize: Int

  /// Without replication there are no nodes, only mailboxes that nobody reads.
  init(configuration: PipelineConfiguration, networkFunction: String, stateSize: Int, environment: Environment) throws {
    let replication = configuration.replication
    self.replication = replication
    self.networkFunction = networkFunction
    self.stateSize = stateSize
    // Each planned failure brings a pair to one more node, or to two.
    let nodeCount = max(2, configuration.pairs) + configuration.failures.reduce(0) { $0 + ($1.victim == .pair ? 2 : 1) }
    if replication.isReplicated {
      var logger = Logger(label: "deft", factory: { StreamLogHandler.standardError(label: $0) })
      logger.logLevel = .warning
      for _ in 0..<min(nodeCount, environment.controlCPUs.count) {
        threads.append(try ControlThread(ownsCPU: environment.ownsControlCPUs) { environment.pinControlThread() })
      }
      for node in 0..<nodeCount {
        let control = try ControlNode(nodeID: UInt32(node), on: threads[node % threads.count], logger: logger)
        nodes.append(control)
        ports.append(try control.start())
      }
    }
    let bells: [Doorbell]
    if nodes.isEmpty {
      guard let bell = Doorbell() else { throw ControlError.noDescriptors }
      bells = Array(repeating: bell, count: nodeCount)
    } else {
      bells = nodes.map(\.doorbell)
    }
    mailboxes = (0..<configuration.pairs).map { pair in
      PairMailbox(
        pair: pair, replication: replication, stateSize: stateSize, primaryDoorbell: bells[pair % nodeCount],
        secondaryDoorbell: bells[(pair + 1) % nodeCount])
    }
    guard replication.isReplicated else { return }
    for mailbox in mailboxes { try join(mailbox, primaryHost: 0, secondaryHost: 1, epoch: replication.epoch) }
  }

  // MARK: ReplicaLinks

  private func node(pair: Int, host: Int) -> ControlNode { nodes[(pair + host) % nodes.count] }

  func cut(pair: Int) { for node in nodes { try? node.remove(pair: UInt16(pair)) } }

  func mailbox(pair: Int, primaryHost: Int, secondaryHost: Int) -> PairMailbox {
    PairMailbox(
      pair: pair, replication: replication, stateSize: stateSize,
      primaryDoorbell: node(pair: pair, host: primaryHost).doorbell,
      secondaryDoorbell: node(pair: pair, host: secondaryHost).doorbell)
  }

  func join(_ mailbox: PairMailbox, primaryHost: Int, secondaryHost: Int, epoch: UInt32) throws {
    let entrySize = UInt32(ReplicationConfiguration.stateEntryBytes(stateSize: stateSize))
    let pair = UInt16(mailbox.pair)
    let secondary = (mailbox.pair + secondaryHost) % nodes.count
    try nodes[secondary].addSecondary(
      SecondaryEndpoint(
        pair: pair, epoch: epoch, networkFunction: networkFunction, stateEntrySize: entrySize,
        inbox: mailbox.messagesIn, outbox: mailbox.votesOut))
    try node(pair: mailbox.pair, host: primaryHost).addPrimary(
      PrimaryEndpoint(
        pair: pair, epoch: epoch, networkFunction: networkFunction, stateEntrySize: entrySize,
        prepares: mailbox.prepares, commits: mailbox.commits, repairs: mailbox.repairs, inbox: mailbox.votesIn),
      connectTo: "127.0.0.1", port: ports[secondary])
  }

  func isJoined(pair: Int, primaryHost: Int) -> Bool {
    node(pair: pair, host: primaryHost).status.pairs.contains {
      $0.number == UInt16(pair) && $0.role == .primary && $0.link == .open
    }
  }

  var summary: ReplaySummary.Control? {
    guard !nodes.isEmpty else { return nil }
    return nodes.map(\.status).reduce(
      into: ReplaySummary.Control(
        connectionsOpened: 0, connectionsLost: 0, bytesSent: 0, messagesSent: 0, badMessages: 0)
    ) { sum, status in
      // Both ends count a connection; the primary's side alone is taken.
      for pair in status.pairs where pair.role == .primary {
        sum.connectionsOpened += pair.opened
        sum.connectionsLost += pair.lost
      }
      for traffic in status.sent.values {
        sum.bytesSent += traffic.bytes
        sum.messagesSent += traffic.messages
      }
      sum.badMessages += status.badMessageCount
    }
  }

  /// Closes the connections and joins the control threads.
  func stop() {
    guard !isStopped else { return }
    isStopped = true
    for node in nodes { node.prepareToStop() }
    for node in nodes { node.stop() }
    for thread in threads { thread.join() }
  }
}
