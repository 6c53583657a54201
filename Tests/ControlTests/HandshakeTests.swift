import DEFTMailbox
import DEFTWire
import Testing

@testable import DEFTControl

@Suite(.serialized, .timeLimit(.minutes(1)))
struct HandshakeTests {
  @Test func accepted() throws {
    let nodes = try PairOfNodes()
    defer { nodes.stop() }
    eventually("resume") {
      nodes.primary.poll(upTo: 0)
    } _: {
      !nodes.primary.resumes.isEmpty
    }
    #expect(nodes.primary.resumes.count == 1)
    #expect(nodes.primary.resumes.first.map { $0 == (epoch: 1, voted: 0, applied: 0) } == true)
    eventually("both open") {
      nodes.primaryNode.status.pairs.first?.link == .open && nodes.secondaryNode.status.pairs.first?.link == .open
    }
    let status = nodes.secondaryNode.status
    #expect(status.pairs.first?.role == .secondary && status.connectionsOpened == 1 && status.badMessageCount == 0)
    #expect(status.received[.hello]?.messages == 1 && status.sent[.resume] == .init(messages: 1, bytes: 40))
    #expect(nodes.primaryNode.status.received[.welcome] == .init(messages: 1, bytes: 32))
  }

  @Test(arguments: [ControlMessageHeader.Refusal.networkFunction, .stateSize, .unknownPair])
  func refused(reason: ControlMessageHeader.Refusal) throws {
    let first = try ControlNode(nodeID: 1, logger: quiet)
    let second = try ControlNode(nodeID: 2, logger: quiet)
    let primary = FakePrimary(pair: reason == .unknownPair ? 4 : 3, bell: first.doorbell)
    let secondary = FakeSecondary(pair: 3, bell: second.doorbell)
    defer {
      first.stop()
      second.stop()
      primary.free()
      secondary.free()
    }
    try second.addSecondary(secondary.endpoint())
    // The other order of calls: the pair is there before the node starts.
    let endpoint = primary.endpoint(
      networkFunction: reason == .networkFunction ? "other" : "fake",
      stateEntrySize: reason == .stateSize ? 32 : TestMessage.stateEntrySize)
    try first.addPrimary(endpoint, connectTo: "127.0.0.1", port: try second.start())
    _ = try first.start()
    eventually("refused") { first.status.pairs.first?.link == .refused(reason) }
    primary.poll(upTo: 1)
    #expect(primary.resumes.isEmpty)
    eventually("asked again", within: 5) { first.status.refusalsReceived >= 2 }
    #expect(second.status.refusalsSent >= 2 && second.status.pairs.first?.link == .down)
    #expect(first.status.connectionsOpened == 0)
    // The reason goes away: the pair opens without anybody's help.
    guard reason == .unknownPair else { return }
    let late = FakeSecondary(pair: 4, bell: second.doorbell)
    defer { late.free() }
    try second.addSecondary(late.endpoint())
    eventually("open after all", within: 5) { first.status.pairs.first?.link == .open }
    try second.remove(pair: 4)
  }

  @Test func anotherVersionIsRefusedByName() throws {
    let node = try ControlNode(nodeID: 2, logger: quiet)
    defer { node.stop() }
    let port = try node.start()
    var hello = RawMessage.hello(pair: 7)
    hello[5] = 2
    let peer = try #require(RawPeer.connect(port: port))
    peer.send(hello)
    let answer = try #require(RawMessage.readHeader(peer.receive(32)))
    #expect(answer.kind == ControlMessageHeader.Kind.refuse.rawValue)
    #expect(answer.detail == ControlMessageHeader.Refusal.version.rawValue)
    #expect(peer.isClosedByPeer())
    #expect(node.status.badMessages[.version] == 1)
  }

  @Test func aRefusalOfAnotherVersionIsUnderstood() throws {
    let node = try ControlNode(nodeID: 1, logger: quiet)
    let primary = FakePrimary(pair: 7, bell: node.doorbell)
    defer {
      node.stop()
      primary.free()
    }
    _ = try node.start()
    let (listener, port) = try #require(RawPeer.listen())
    try node.addPrimary(primary.endpoint(), connectTo: "127.0.0.1", port: port)
    let peer = try #require(listener.accept())
    #expect(peer.receive(48) == expectedHello(node: 1))
    var refuse = RawMessage.bare(.refuse, pair: 7, detail: ControlMessageHeader.Refusal.version.rawValue)
    refuse[5] = 9
    peer.send(refuse)
    eventually("refused") { node.status.pairs.first?.link == .refused(.version) }
    #expect(node.status.badMessageCount == 0)
  }

  /// Byte for byte what a node of this version says first.
  private func expectedHello(node: UInt8) -> [UInt8] {
    var bytes = RawMessage.hello(pair: 7)
    bytes[24] = node
    return bytes
  }

  @Test func aDialerWhosePeerTalksNonsenseTriesAgain() throws {
    let node = try ControlNode(nodeID: 1, logger: quiet)
    let primary = FakePrimary(pair: 7, bell: node.doorbell)
    defer {
      node.stop()
      primary.free()
    }
    _ = try node.start()
    let (listener, port) = try #require(RawPeer.listen())
    try node.addPrimary(primary.endpoint(), connectTo: "127.0.0.1", port: port)
    let nonsense = [
      Array(repeating: UInt8(0xff), count: 64), RawMessage.word(.resume, pair: 7, batch: 0),
      RawMessage.bare(.welcome, pair: 8),
      RawMessage.bare(.welcome, pair: 7) + RawMessage.word(.vote, pair: 7, batch: 1),
    ]
    for bytes in nonsense {
      let peer = try #require(listener.accept())
      peer.send(bytes)
      #expect(peer.isClosedByPeer())
    }
    let peer = try #require(listener.accept())
    peer.send(RawMessage.bare(.welcome, pair: 7) + RawMessage.word(.resume, pair: 7, batch: 0))
    eventually("open") {
      primary.poll(upTo: 0)
    } _: {
      primary.resumes.count == 1
    }
    #expect(node.status.badMessageCount == 4 && node.status.badMessages[.unexpectedKind] == 2)
    #expect(node.status.badMessages[.pair] == 1 && node.status.badMessages[.length] == 1)
  }

  @Test func aNewConnectionReplacesTheOld() throws {
    let node = try ControlNode(nodeID: 2, logger: quiet)
    let secondary = FakeSecondary(pair: 7, bell: node.doorbell)
    defer {
      node.stop()
      secondary.free()
    }
    try node.addSecondary(secondary.endpoint())
    let port = try node.start()
    let first = try #require(RawPeer.connect(port: port))
    first.send(RawMessage.hello(pair: 7))
    #expect(first.receive(72).count == 72)
    // Half a message is under way when the new one comes.
    let prepare = TestMessage.bytes(.prepare, pair: 7, batch: 1, entries: FakePrimary.entries(.prepare, 1, most: 60))
    first.send(Array(prepare.dropLast(8)))
    let second = try #require(RawPeer.connect(port: port))
    second.send(RawMessage.hello(pair: 7))
    #expect(second.receive(72).count == 72)
    #expect(first.isClosedByPeer())
    second.send(prepare)
    eventually("the prepare") {
      secondary.poll()
    } _: {
      secondary.voted == 1
    }
    let vote = try #require(RawMessage.readHeader(second.receive(40)))
    #expect(vote.kind == ControlMessageHeader.Kind.vote.rawValue && vote.batch == 1)
    #expect(secondary.damaged == 0 && secondary.gaps == 0)
    #expect(node.status.connectionsOpened == 2 && node.status.connectionsLost == 1)
    #expect(node.status.pairs.first?.link == .open)
    // A third one learns what has been voted for.
    let third = try #require(RawPeer.connect(port: port))
    third.send(RawMessage.hello(pair: 7))
    let resume = RawMessage.readHeader(Array(third.receive(72).dropFirst(32)))
    #expect(resume?.kind == ControlMessageHeader.Kind.resume.rawValue && resume?.batch == 1)
  }

  @Test func votesWithoutAConnectionAreInTheNextResume() throws {
    let node = try ControlNode(nodeID: 2, logger: quiet)
    let inbox = MessageRing(capacity: 4096)
    let outbox = MessageRing(capacity: 4096)
    defer {
      node.stop()
      inbox.deallocate()
      outbox.deallocate()
    }
    try node.addSecondary(
      SecondaryEndpoint(
        pair: 7, epoch: 1, networkFunction: "fake", stateEntrySize: TestMessage.stateEntrySize, voted: 5, applied: 3,
        inbox: inbox, outbox: outbox))
    let port = try node.start()
    func resume() throws -> [UInt8] {
      let peer = try #require(RawPeer.connect(port: port))
      peer.send(RawMessage.hello(pair: 7))
      return Array(peer.receive(72).dropFirst(32))
    }
    #expect(try resume() == RawMessage.word(.resume, pair: 7, batch: 5, word: 3))
    let lcore = RingWriter(outbox, retaining: false)
    // Far more than the outbox holds: they must be read although nobody is connected.
    for batch in 6..<1000 as Range<UInt64> {
      eventually("room in the outbox") {
        lcore.send(RawMessage.word(.vote, pair: 7, batch: batch, word: batch - 2))
      }
      node.doorbell.ring()
    }
    #expect(try resume() == RawMessage.word(.resume, pair: 7, batch: 999, word: 997))
    // A vote of a newer epoch starts anew.
    var vote = RawMessage.word(.vote, pair: 7, batch: 2, word: 1)
    vote[8] = 3
    #expect(lcore.send(vote))
    node.doorbell.ring()
    var expected = RawMessage.word(.resume, pair: 7, batch: 2, word: 1)
    expected[8] = 3
    #expect(try resume() == expected)
  }

  @Test func callsThatCannotBeAnswered() throws {
    let node = try ControlNode(nodeID: 2, logger: quiet)
    let secondary = FakeSecondary(pair: 7, bell: node.doorbell)
    defer { secondary.free() }
    try node.addSecondary(secondary.endpoint())
    #expect(throws: ControlError.duplicatePair(7)) { try node.addSecondary(secondary.endpoint()) }
    _ = try node.start()
    #expect(throws: ControlError.alreadyStarted) { try node.start() }
    node.cutConnection(pair: 9)
    node.stop()
    node.stop()
    #expect(throws: ControlError.stopped) { try node.remove(pair: 7) }
    #expect(throws: ControlError.alreadyStarted) { try node.start() }
    node.doorbell.ring()
    #expect(node.status.connectionsOpened == 0)
    // A port that is taken is an error of start, and stop still joins the thread.
    let (listener, port) = try #require(RawPeer.listen())
    let other = try ControlNode(nodeID: 3, port: port, logger: quiet)
    #expect(throws: (any Error).self) { try other.start() }
    other.stop()
    _ = listener
  }
}
