import DEFTMailbox
import DEFTWire
import Logging
import NIOCore
import NIOPosix

/// The primary's side of a pair: dials, brings prepares, commits and gap repair to the peer, and votes and its part of gap
/// repair back. Confined to the control
/// thread's event loop.
///
/// | link | dial | connected | refused | resume delivered | rewind taken | connection ends | remove |
/// |---|---|---|---|---|---|---|---|
/// | idle | dialing | | | | | | |
/// | waiting | dialing | | | | | | idle |
/// | dialing | | handshake | | | | waiting (failed) | idle |
/// | handshake | | | noted | open | | waiting | idle |
/// | open | | | | | that log may be sent | waiting | idle |
///
/// Prohibited: sending from a log in any link but open, or before its rewind was taken on this connection (R13); a second
/// connection at a time; from `idle` to anything after `remove`.
///
/// The wait is 10 ms and doubles to 1 s; a connection that brought a vote resets it. After a refusal that only a
/// person can end it is 1 s.
final class PrimaryPair: @unchecked Sendable {
  private enum Link {
    case idle
    case waiting(Scheduled<Void>)
    case dialing
    case handshake(PeerConnection)
    case open(PeerConnection, arePreparesReady: Bool, areCommitsReady: Bool)
  }

  private static let shortestWait = TimeAmount.milliseconds(10)
  private static let longestWait = TimeAmount.seconds(1)
  /// Never written to.
  private static let noRepairs = MessageRing(capacity: 4096)
  /// The pair gives way to others after so much, bytes.
  private static let turnLimit = 1 << 20

  let endpoint: PrimaryEndpoint
  let rules: FrameRules
  var inbox: MessageProducer
  private let host: String
  private let port: Int
  private let loop: ControlLoop
  private var prepares: MessageConsumer
  private var commits: MessageConsumer
  /// Gap repair; without it an empty ring.
  private var repairs: MessageConsumer
  private var link = Link.idle
  private var wait = PrimaryPair.shortestWait
  /// The last refusal, until a connection opens: the same one is logged once.
  private var refusal: ControlMessageHeader.Refusal?
  private(set) var status: ControlStatus.Pair

  init(_ endpoint: PrimaryEndpoint, host: String, port: Int, _ loop: ControlLoop) {
    self.endpoint = endpoint
    self.host = host
    self.port = port
    self.loop = loop
    rules = FrameRules(pair: endpoint.pair, allowing: .vote, .synced, .want, .packet, .missing, .uncovered)
    inbox = MessageProducer(endpoint.inbox, retaining: false)
    prepares = MessageConsumer(endpoint.prepares)
    commits = MessageConsumer(endpoint.commits)
    repairs = MessageConsumer(endpoint.repairs ?? PrimaryPair.noRepairs)
    status = ControlStatus.Pair(number: endpoint.pair, role: .primary)
  }

  var connection: PeerConnection? {
    switch link {
    case .handshake(let connection), .open(let connection, _, _): connection
    case .idle, .waiting, .dialing: nil
    }
  }

  private var metadata: Logger.Metadata { ["pair": "\(endpoint.pair)", "to": "\(host):\(port)"] }

  // MARK: the connection's life

  func dial() {
    guard loop.isRunning else {
      link = .idle
      return
    }
    link = .dialing
    if refusal == nil { change(.connecting) }
    let attempt = loop.connect(to: host, port: port, for: self)
    attempt.whenFailure { [self] _ in
      guard case .dialing = link else { return }
      loop.counters.count(.failedDials)
      refusal = nil
      waitAndDial()
    }
  }

  /// False: nobody wants this connection any more.
  func connected(_ connection: PeerConnection) -> Bool {
    guard case .dialing = link else { return false }
    // What the lcore asked for in answer to an earlier resume is void. (If it comes after this it is taken for the answer
    // to the coming one: more is sent again than need be, and the right request follows.)
    _ = prepares.takeRewind()
    _ = commits.takeRewind()
    link = .handshake(connection)
    return true
  }

  func refused(_ reason: ControlMessageHeader.Refusal) {
    loop.counters.count(.refusalsReceived)
    if refusal != reason {
      loop.logger.error("refused: \(reason.explanation)", metadata: metadata)
    }
    refusal = reason
    change(.refused(reason))
    // A peer that is still being set up does not know the pair yet; the other reasons need somebody to act.
    if reason != .unknownPair { wait = PrimaryPair.longestWait }
  }

  func opened(_ connection: PeerConnection) {
    link = .open(connection, arePreparesReady: false, areCommitsReady: false)
    refusal = nil
    status.opened += 1
    change(.open)
    loop.counters.count(.connectionsOpened)
    loop.logger.info("primary connected", metadata: metadata)
    loop.pump()
  }

  func ended(_ old: PeerConnection) {
    guard connection === old else { return }
    if case .open = link, loop.isRunning {
      if old.hasBroughtVotes { wait = PrimaryPair.shortestWait }
      status.lost += 1
      loop.counters.count(.connectionsLost)
      loop.logger.warning("primary lost its secondary", metadata: metadata)
    }
    waitAndDial()
  }

  private func waitAndDial() {
    guard loop.isRunning else {
      link = .idle
      return change(.down)
    }
    if refusal == nil { change(.down) }
    link = .waiting(loop.eventLoop.scheduleTask(in: wait) { self.dial() })
    wait = min(PrimaryPair.longestWait, wait * 2)
  }

  func remove() {
    let old = connection
    if case .waiting(let timer) = link { timer.cancel() }
    link = .idle
    old?.terminate()
    change(.down)
  }

  private func change(_ new: ControlStatus.Link) {
    status.link = new
    loop.statusChanged()
  }

  // MARK: the pump

  /// The lcore has not answered the resume yet: there is nothing to be sent, but soon will be.
  var awaitsRewind: Bool {
    guard case .open(_, let arePreparesReady, let areCommitsReady) = link else { return false }
    return !arePreparesReady || !areCommitsReady
  }

  /// Something can be moved now.
  func hasWork() -> Bool {
    takeRewinds()
    guard case .open(let connection, let arePreparesReady, let areCommitsReady) = link else { return repairs.hasMore }
    guard connection.isWritable else { return false }
    return repairs.hasMore || arePreparesReady && prepares.hasMore || areCommitsReady && commits.hasMore
  }

  /// Prepares before commits: votes are what the packets wait for.
  func turn() {
    _ = connection?.retry()
    takeRewinds()
    if case .open = link {} else { discardRepairs() }
    var moved = 0
    while moved < PrimaryPair.turnLimit, case .open(let connection, let arePreparesReady, let areCommitsReady) = link,
      connection.isWritable
    {
      loop.outbound.begin()
      if arePreparesReady { loop.outbound.fill(from: &prepares, counters: loop.counters) }
      loop.outbound.fill(from: &repairs, counters: loop.counters)
      if areCommitsReady { loop.outbound.fill(from: &commits, counters: loop.counters) }
      if loop.outbound.isEmpty { return }
      moved += loop.outbound.buffer.readableBytes
      connection.send(loop.outbound.buffer)
    }
  }

  /// Nobody is there to be asked or answered. What was meant for an earlier connection's peer is not kept for the next: a
  /// ring full of it would take the place of what is wanted then.
  private func discardRepairs() {
    while let message = repairs.next() { repairs.consume(message) }
  }

  /// A log is sent again from where the lcore says (R13), also when it says so a second time on one connection.
  private func takeRewinds() {
    guard case .open(let connection, let arePreparesReady, let areCommitsReady) = link else { return }
    let isPrepares = prepares.takeRewind()
    let isCommits = commits.takeRewind()
    guard isPrepares && !arePreparesReady || isCommits && !areCommitsReady else { return }
    link = .open(
      connection, arePreparesReady: arePreparesReady || isPrepares, areCommitsReady: areCommitsReady || isCommits)
  }
}
