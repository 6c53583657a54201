import DEFTMailbox
import DEFTWire
import Glibc
import Testing

@testable import DEFTControl

/// R13: a cut connection loses a suffix of what was sent; after the next handshake all of it comes again.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ReconnectionTests {
  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func cutsInTheMiddle(seed: UInt64) throws {
    let nodes = try PairOfNodes(inboxCapacity: 1 << 14, longest: (200, 100))
    defer { nodes.stop() }
    var random = Random(seed)
    let cuts = 12
    var cut = 0
    var next = 200 as UInt64
    var resumesAtCut = 0
    nodes.run(20_000) {
      if nodes.primary.resumes.count > resumesAtCut { nodes.secondary.isDeaf = false }
      guard cut < cuts, nodes.primary.applied >= next else { return }
      next = nodes.primary.applied + UInt64(random.below(1500))
      cut += 1
      // Every other time the lcore has not read all that arrived when the new connection comes: that comes twice.
      resumesAtCut = nodes.primary.resumes.count
      nodes.secondary.isDeaf = cut % 2 == 0
      if nodes.secondary.isDeaf { usleep(3000) }
      (cut % 2 == 0 ? nodes.primaryNode : nodes.secondaryNode).cutConnection(pair: nodes.pair)
      // Sometimes the next cut meets the handshake, or a log that was not rewound yet.
      if random.below(3) == 0 {
        usleep(UInt32(random.below(15_000)))
        nodes.primaryNode.cutConnection(pair: nodes.pair)
      }
    }
    #expect(cut == cuts)
    let status = nodes.primaryNode.status
    #expect(status.connectionsLost >= 10 && status.connectionsOpened == status.connectionsLost + 1)
    #expect(nodes.primary.resumes.count >= 11)
    #expect(status.badMessageCount == 0 && nodes.secondaryNode.status.badMessageCount == 0)
    // What was under way is sent again, and what had arrived already is nothing but a duplicate.
    #expect(nodes.secondary.duplicates > 0)
  }

  /// The lcore that does not answer the resume gets nothing sent, and nothing hangs when it does at last, without ringing.
  @Test func nothingIsSentBeforeTheRewind() throws {
    let node = try ControlNode(nodeID: 1, logger: quiet)
    let rings = (MessageRing(capacity: 4096), MessageRing(capacity: 4096), MessageRing(capacity: 4096))
    defer {
      node.stop()
      rings.0.deallocate()
      rings.1.deallocate()
      rings.2.deallocate()
    }
    _ = try node.start()
    let (listener, port) = try #require(RawPeer.listen())
    try node.addPrimary(
      PrimaryEndpoint(
        pair: 7, epoch: 1, networkFunction: "fake", stateEntrySize: TestMessage.stateEntrySize, prepares: rings.0,
        commits: rings.1, inbox: rings.2), connectTo: "127.0.0.1", port: port)
    let prepares = RingWriter(rings.0, retaining: true)
    let commits = RingWriter(rings.1, retaining: true)
    let inbox = RingReader(rings.2)
    let first = TestMessage.bytes(.prepare, pair: 7, batch: 1, entries: 3)
    let second = TestMessage.bytes(.prepare, pair: 7, batch: 2, entries: 0)
    let commit = TestMessage.bytes(.commit, pair: 7, batch: 1, entries: 2)
    #expect(prepares.send(first) && prepares.send(second) && commits.send(commit))
    node.doorbell.ring()
    for round in 0..<3 {
      let peer = try #require(listener.accept())
      #expect(peer.receive(48).count == 48)
      let resume = RawMessage.word(.resume, pair: 7, batch: UInt64(min(round, 1)))
      peer.send(RawMessage.bare(.welcome, pair: 7) + resume)
      eventually("resume") { inbox.hasMore }
      let message = try #require(inbox.next())
      #expect(Array(message) == resume)
      inbox.consume(message)
      node.doorbell.ring()
      usleep(20_000)
      #expect(node.status.sent[.commit]!.messages == UInt64(round))
      // The commits first: they may go although the prepares have to wait.
      commits.rewind()
      #expect(peer.receive(commit.count) == commit)
      if round == 1 { prepares.trim(through: UInt64(first.count)) }
      prepares.rewind()
      let rest = round == 0 ? first + second : second
      #expect(peer.receive(rest.count) == rest)
    }
  }

  @Test func theSecondaryNodeComesLateAndComesBack() throws {
    let first = try ControlNode(nodeID: 1, logger: quiet)
    let primary = FakePrimary(pair: 7, bell: first.doorbell)
    // A port that nobody listens on yet.
    let reserved = try ControlNode(nodeID: 9, logger: quiet)
    let port = try reserved.start()
    reserved.stop()
    try first.addPrimary(primary.endpoint(), connectTo: "127.0.0.1", port: port)
    _ = try first.start()
    eventually("nobody there") { first.status.failedDials >= 2 }
    #expect(first.status.pairs.first?.link != .open)

    var batches: UInt64 = 0
    for life in 1...2 as ClosedRange<UInt64> {
      let second = try ControlNode(nodeID: 2, port: port, logger: quiet)
      let secondary = FakeSecondary(pair: 7, bell: second.doorbell)
      try second.addSecondary(secondary.endpoint())
      #expect(try second.start() == port)
      // In its second life the secondary has forgotten everything, and says so.
      let from = batches
      batches += 500
      eventually("connected") {
        primary.poll(upTo: from)
      } _: {
        primary.resumes.count == life
      }
      #expect(primary.resumes.last.map { $0 == (1, 0, 0) } == true)
      if life == 1 {
        eventually("committed") {
          primary.poll(upTo: batches)
          secondary.poll()
        } _: {
          primary.applied == batches
        }
      }
      second.stop()
      secondary.free()
    }
    eventually("lost") { first.status.connectionsLost == 2 }
    first.stop()
    primary.free()
  }

  /// Nodes that are about to stop together do not take each other's end for a loss.
  @Test(arguments: [false, true])
  func stoppingTogether(secondaryFirst: Bool) throws {
    let nodes = try PairOfNodes()
    nodes.run(100)
    nodes.primaryNode.prepareToStop()
    nodes.secondaryNode.prepareToStop()
    let (first, second) =
      secondaryFirst ? (nodes.secondaryNode, nodes.primaryNode) : (nodes.primaryNode, nodes.secondaryNode)
    first.stop()
    eventually("the other end sees it", within: 5) { second.status.pairs.first?.link == .down }
    usleep(30_000)
    #expect(second.status.connectionsLost == 0 && second.status.failedDials == 0)
    #expect(first.status.connectionsLost == 0)
    nodes.stop()
  }

  /// Both ends are stopped while messages are under way and lcores go on writing and ringing.
  @Test(arguments: [false, true])
  func stoppingWhileBusy(secondaryFirst: Bool) throws {
    for round in 0..<4 {
      let nodes = try PairOfNodes(logCapacity: 1 << 20, inboxCapacity: 1 << 16, longest: (2000, 500))
      nodes.primary.window = 1000
      let begin = monotonic()
      withProducerThread {
        // Long enough to go on after both nodes have stopped.
        let end = monotonic() + 300_000_000
        while monotonic() < end {
          nodes.primary.poll(upTo: .max / 2)
          nodes.secondary.poll()
        }
      } meanwhile: {
        usleep(UInt32(40_000 + 15_000 * round))
        (secondaryFirst ? nodes.secondaryNode : nodes.primaryNode).stop()
        (secondaryFirst ? nodes.primaryNode : nodes.secondaryNode).stop()
        #expect(monotonic() - begin < 5_000_000_000)
      }
      #expect(nodes.secondary.gaps == 0 && nodes.secondary.damaged == 0)
      #expect(nodes.primaryNode.status.connectionsOpened == 1)
      nodes.primary.free()
      nodes.secondary.free()
    }
  }
}
