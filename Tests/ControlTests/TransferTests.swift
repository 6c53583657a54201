import DEFTMailbox
import DEFTWire
import Glibc
import Testing

@testable import DEFTControl

@Suite(.serialized, .timeLimit(.minutes(2)))
struct TransferTests {
  @Test func everyByteInOrder() throws {
    let nodes = try PairOfNodes()
    defer { nodes.stop() }
    nodes.run(200)
    #expect(nodes.secondary.duplicates == 0)
    eventually("counters") { nodes.primaryNode.status.received[.vote]!.messages == nodes.primary.votes }
    let from = nodes.primaryNode.status
    let to = nodes.secondaryNode.status
    for kind in [ControlMessageHeader.Kind.prepare, .commit] {
      #expect(from.sent[kind]?.messages == 200)
      #expect(from.sent[kind] == to.received[kind])
    }
    #expect(from.received[.vote] == to.sent[.vote])
    #expect(from.badMessageCount == 0 && to.badMessageCount == 0 && from.connectionsLost == 0)
  }

  /// Rings of 4 to 64 KiB that wrap all the time, messages from 32 bytes to half an inbox.
  @Test func manyMessagesOfAllSizes() throws {
    let nodes = try PairOfNodes(inboxCapacity: 1 << 13, longest: (500, 160))
    defer { nodes.stop() }
    nodes.run(50_000, within: 100)
    #expect(nodes.secondary.duplicates == 0)
    #expect(nodes.primaryNode.status.connectionsLost == 0)
  }

  @Test func oneInFlight() throws {
    let nodes = try PairOfNodes()
    defer { nodes.stop() }
    nodes.primary.window = 1
    nodes.run(2_000)
  }

  @Test func aSlowReaderHoldsTheSenderBack() throws {
    let nodes = try PairOfNodes(logCapacity: 1 << 22, inboxCapacity: 1 << 13, longest: (200, 0))
    defer { nodes.stop() }
    nodes.primary.window = 1_000_000
    nodes.secondary.appetite = 3
    // Nothing is read at all at first: the inbox fills, then TCP, then the log, and nobody gives up.
    eventually("inbox full") {
      nodes.primary.poll(upTo: 20_000)
    } _: {
      nodes.secondaryNode.status.inboxFullWaits > 0
    }
    for _ in 0..<200 {
      nodes.primary.poll(upTo: 20_000)
      usleep(500)
    }
    #expect(nodes.secondary.voted == 0)
    nodes.run(8_000, within: 60)
    #expect(nodes.secondary.duplicates == 0)
    #expect(nodes.secondaryNode.status.connectionsLost == 0)
  }

  @Test func aPeerThatDoesNotReadStopsTheSender() throws {
    let node = try ControlNode(nodeID: 1, logger: quiet)
    let primary = FakePrimary(pair: 7, bell: node.doorbell, logCapacity: 1 << 26)
    primary.longest = (8000, 0)
    primary.window = .max / 2
    defer {
      node.stop()
      primary.free()
    }
    _ = try node.start()
    let (listener, port) = try #require(RawPeer.listen())
    try node.addPrimary(primary.endpoint(), connectTo: "127.0.0.1", port: port)
    let peer = try #require(listener.accept())
    peer.send(RawMessage.bare(.welcome, pair: 7) + RawMessage.word(.resume, pair: 7, batch: 0))
    eventually("the sender waits") {
      primary.poll(upTo: 100_000)
    } _: {
      node.status.writabilityWaits > 0
    }
    usleep(20_000)
    let before = node.status.sent[.prepare]!.messages
    usleep(50_000)
    #expect(node.status.sent[.prepare]!.messages == before, "it sends into a closed door")
    // hello, then all that was sent, in order.
    _ = peer.receive(48)
    for batch in 1...1000 as ClosedRange<UInt64> {
      let entries = FakePrimary.entries(.prepare, batch, most: 8000)
      let expected = TestMessage.bytes(.prepare, pair: 7, batch: batch, entries: entries)
      guard peer.receive(expected.count) == expected else {
        Issue.record("prepare \(batch) differs")
        return
      }
    }
    eventually("sending goes on") { node.status.sent[.prepare]!.messages > before }
  }

  @Test func longMessages() throws {
    // Commits of up to 3.9 MB, far beyond one read and one write; inboxes of 8 MiB take just that.
    let nodes = try PairOfNodes(logCapacity: 1 << 23, inboxCapacity: 1 << 23, longest: (400_000, 160_000))
    defer { nodes.stop() }
    nodes.run(60, within: 60)
  }

  @Test func aMessageBeyondTheInboxIsRefused() throws {
    let nodes = try PairOfNodes(logCapacity: 1 << 20, inboxCapacity: 1 << 12, longest: (10_000, 0))
    defer { nodes.stop() }
    eventually("refused") {
      nodes.primary.poll(upTo: 10)
      nodes.secondary.poll()
    } _: {
      (nodes.secondaryNode.status.badMessages[.tooLong] ?? 0) >= 2
    }
    eventually("connection lost") { nodes.primaryNode.status.connectionsLost >= 2 }
  }

  @Test func manyPairsBothWays() throws {
    let first = try ControlNode(nodeID: 1, logger: quiet)
    let second = try ControlNode(nodeID: 2, logger: quiet)
    let ports = (try first.start(), try second.start())
    var primaries: [FakePrimary] = []
    var secondaries: [FakeSecondary] = []
    defer {
      first.stop()
      second.stop()
      for lcore in primaries { lcore.free() }
      for lcore in secondaries { lcore.free() }
    }
    for pair in 0..<12 as Range<UInt16> {
      let isOdd = pair % 2 == 1
      let primary = FakePrimary(pair: pair, bell: isOdd ? first.doorbell : second.doorbell)
      let secondary = FakeSecondary(pair: pair, bell: isOdd ? second.doorbell : first.doorbell)
      primaries.append(primary)
      secondaries.append(secondary)
      try (isOdd ? second : first).addSecondary(secondary.endpoint())
      try (isOdd ? first : second).addPrimary(
        primary.endpoint(), connectTo: "127.0.0.1", port: isOdd ? ports.1 : ports.0)
    }
    eventually("all committed") {
      for lcore in primaries { lcore.poll(upTo: 1000) }
      for lcore in secondaries { lcore.poll() }
    } _: {
      primaries.allSatisfy { $0.applied == 1000 }
    }
    #expect(secondaries.allSatisfy { $0.gaps == 0 && $0.damaged == 0 && $0.duplicates == 0 })
    #expect(first.status.pairs.map(\.number) == Array(0..<12) && first.status.pairs.allSatisfy { $0.link == .open })
    try first.remove(pair: 5)
    eventually("pair 5 is down at the other end") { second.status.pairs[5].link == .down }
    #expect(first.status.pairs.count == 11 && second.status.connectionsLost == 1 && first.status.connectionsLost == 0)
  }
}
