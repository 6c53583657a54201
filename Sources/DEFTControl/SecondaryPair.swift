import DEFTMailbox
import DEFTWire

/// The secondary's side of a pair: waits to be dialed, brings prepares and commits to the lcore and votes back. Confined
/// to the control thread's event loop.
///
/// | connection | hello accepted | connection ends | vote from the lcore |
/// |---|---|---|---|
/// | none | that one | | remembered for the next resume |
/// | c | c is closed, the new one (half-open TCP) | none | remembered and sent on c |
///
/// Prohibited: two connections at a time; anything from a connection other than c into the inbox.
final class SecondaryPair {
  let endpoint: SecondaryEndpoint
  let rules: FrameRules
  var inbox: MessageProducer
  private let loop: ControlLoop
  private var outbox: MessageConsumer
  private(set) var connection: PeerConnection?
  private(set) var status: ControlStatus.Pair
  private var relayed: RelayedVotes

  init(_ endpoint: SecondaryEndpoint, _ loop: ControlLoop) {
    self.endpoint = endpoint
    self.loop = loop
    rules = FrameRules(
      pair: endpoint.pair, allowing: .prepare, .commit, .base, .baseEnd, .want, .packet, .stage, .unstage,
      stateEntrySize: endpoint.stateEntrySize)
    inbox = MessageProducer(endpoint.inbox, retaining: false)
    outbox = MessageConsumer(endpoint.outbox)
    status = ControlStatus.Pair(number: endpoint.pair, role: .secondary)
    relayed = RelayedVotes(epoch: endpoint.epoch, voted: endpoint.voted, applied: endpoint.applied)
  }

  /// Makes `new` the pair's connection. Returns what its resume says (R13).
  func takeOver(_ new: PeerConnection) -> (epoch: UInt32, voted: UInt64, applied: UInt64) {
    connection?.terminate()
    // Votes that wait for a connection are in the resume, too.
    readUnconnected()
    connection = new
    return (relayed.epoch, relayed.voted, relayed.applied)
  }

  func opened(by node: UInt32) {
    status.link = .open
    status.opened += 1
    loop.counters.count(.connectionsOpened)
    loop.statusChanged()
    loop.logger.info("secondary connected", metadata: ["pair": "\(endpoint.pair)", "peer": "\(node)"])
    loop.pump()
  }

  func ended(_ old: PeerConnection) {
    guard connection === old else { return }
    connection = nil
    status.link = .down
    guard loop.isRunning else { return loop.statusChanged() }
    status.lost += 1
    loop.counters.count(.connectionsLost)
    loop.statusChanged()
    loop.logger.warning("secondary lost its primary", metadata: ["pair": "\(endpoint.pair)"])
  }

  func remove() {
    let old = connection
    connection = nil
    old?.terminate()
  }

  // MARK: the pump

  /// Something can be moved now.
  func hasWork() -> Bool { outbox.hasMore && (connection?.isWritable ?? true) }

  func turn() {
    _ = connection?.retry()
    guard let connection else { return readUnconnected() }
    guard outbox.hasMore, connection.isWritable else { return }
    loop.outbound.begin()
    loop.outbound.fill(from: &outbox, counters: loop.counters) { relayed.note($0) }
    if !loop.outbound.isEmpty { connection.send(loop.outbound.buffer) }
  }

  private func readUnconnected() {
    while let message = outbox.next() {
      relayed.note(message)
      outbox.consume(message)
    }
  }
}

/// R13: what the lcore has voted for and applied, as far as this control thread has read its votes.
struct RelayedVotes {
  private(set) var epoch: UInt32
  private(set) var voted: UInt64
  private(set) var applied: UInt64

  init(epoch: UInt32, voted: UInt64, applied: UInt64) {
    self.epoch = epoch
    self.voted = voted
    self.applied = applied
  }

  /// A vote of an older epoch changes nothing, one of a newer epoch starts anew.
  mutating func note(_ message: UnsafeRawBufferPointer) {
    let header = ControlMessageHeader(reading: message.baseAddress.unsafelyUnwrapped)
    guard header.kind == ControlMessageHeader.Kind.vote.rawValue, header.epoch >= epoch else { return }
    if header.epoch > epoch {
      epoch = header.epoch
      voted = 0
      applied = 0
    }
    let word = message.loadUnaligned(fromByteOffset: ControlMessageHeader.byteCount, as: UInt64.self)
    voted = max(voted, header.batch)
    applied = max(applied, UInt64(littleEndian: word))
  }
}
