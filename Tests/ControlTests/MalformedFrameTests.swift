import DEFTMailbox
import DEFTWire
import Glibc
import Testing

@testable import DEFTControl

/// Nothing that a peer says crashes a control thread or reaches an lcore unless it is a whole message of the right kind.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct MalformedFrameTests {
  /// One node that hosts the secondary of pair 7.
  final class Host {
    let node: ControlNode
    let secondary: FakeSecondary
    let port: Int
    init() throws {
      node = try ControlNode(nodeID: 2, logger: quiet)
      secondary = FakeSecondary(pair: 7, bell: node.doorbell, inboxCapacity: 1 << 14)
      try node.addSecondary(secondary.endpoint())
      port = try node.start()
    }
    func stop() {
      node.stop()
      secondary.free()
    }
    /// A connection that is open for pair 7.
    func open() throws -> RawPeer {
      let peer = try #require(RawPeer.connect(port: port))
      peer.send(RawMessage.hello(pair: 7))
      #expect(peer.receive(72).count == 72)
      return peer
    }
  }

  static func changed(_ bytes: [UInt8], _ change: (inout ControlMessageHeader) -> Void) -> [UInt8] {
    var header = RawMessage.readHeader(bytes)!
    change(&header)
    return RawMessage.header(header) + bytes.dropFirst(ControlMessageHeader.byteCount)
  }

  static let prepare = TestMessage.bytes(.prepare, pair: 7, batch: 1, entries: 5)
  static let commit = TestMessage.bytes(.commit, pair: 7, batch: 1, entries: 5)
  static let cases: [(String, [UInt8], BadMessage)] = [
    ("shorter than a header", changed(prepare) { $0.length = 24 }, .length),
    ("length 0", changed(prepare) { $0.length = 0 }, .length),
    ("not a multiple of 8", changed(prepare) { $0.length += 4 }, .length),
    ("length of 4 GiB", changed(prepare) { $0.length = 0xffff_fff8 }, .length),
    ("the rings' pad word", changed(prepare) { $0.length = 0xffff_ffff }, .length),
    ("entries beyond the length", changed(prepare) { $0.count += 1 }, .length),
    ("entries beyond 32 bits", changed(prepare) { $0.count = .max }, .length),
    ("lost entries beyond the length", changed(prepare) { $0.detail = .max }, .length),
    ("commit of entries of no size", changed(commit) { $0.detail = 0 }, .length),
    ("commit of giant entries", changed(commit) { $0.detail = 0xffff_fff8 }, .length),
    ("another version", changed(prepare) { $0.version = 2 }, .version),
    ("kind 0", changed(prepare) { $0.kind = 0 }, .unknownKind),
    ("kind 255", changed(prepare) { $0.kind = 255 }, .unknownKind),
    ("another pair", changed(prepare) { $0.pair = 8 }, .pair),
    ("a vote to the secondary", RawMessage.word(.vote, pair: 7, batch: 1), .unexpectedKind),
    ("a resume to the secondary", RawMessage.word(.resume, pair: 7, batch: 1), .unexpectedKind),
    ("a second hello", RawMessage.hello(pair: 7), .unexpectedKind),
    ("a welcome", RawMessage.bare(.welcome, pair: 7), .unexpectedKind),
    ("a refusal", RawMessage.bare(.refuse, pair: 7), .unexpectedKind),
    (
      "a commit with entries of another size",
      changed(Array(commit.prefix(32 + 64))) {
        $0.length = 96
        $0.detail = 32
        $0.count = 2
      }, .stateSize
    ),
    (
      "longer than the inbox takes",
      changed(prepare) {
        $0.count = 2000
        $0.length = 32 + 16000
      }, .tooLong
    ),
  ]

  @Test func afterTheHandshake() throws {
    let host = try Host()
    defer { host.stop() }
    for (name, bytes, reason) in MalformedFrameTests.cases {
      let before = host.node.status.badMessages[reason]!
      let peer = try host.open()
      peer.send(bytes)
      #expect(peer.isClosedByPeer(), "\(name)")
      #expect(host.node.status.badMessages[reason] == before + 1, "\(name)")
    }
    host.secondary.poll()
    #expect(host.secondary.voted == 0 && host.secondary.gaps == 0 && host.secondary.damaged == 0)
    #expect(host.node.status.badMessageCount == UInt64(MalformedFrameTests.cases.count))
    // What came whole before the bad one counts.
    host.secondary.longest = (5, 5)
    let good = TestMessage.bytes(.prepare, pair: 7, batch: 1, entries: FakePrimary.entries(.prepare, 1, most: 5))
    let peer = try host.open()
    peer.send(good + RawMessage.word(.vote, pair: 7, batch: 1))
    #expect(peer.isClosedByPeer())
    eventually("the good one") {
      host.secondary.poll()
    } _: {
      host.secondary.voted == 1
    }
    #expect(host.secondary.damaged == 0)
  }

  @Test func insteadOfAHello() throws {
    let host = try Host()
    defer { host.stop() }
    for (name, bytes, _) in MalformedFrameTests.cases where name != "a second hello" {
      let peer = try #require(RawPeer.connect(port: host.port))
      peer.send(Array(bytes.prefix(32)))
      let answer = RawMessage.readHeader(peer.receive(32))
      #expect(answer?.kind == ControlMessageHeader.Kind.refuse.rawValue, "\(name)")
      #expect(peer.isClosedByPeer(), "\(name)")
    }
    // Hellos with a body that does not fit.
    var long = RawMessage.hello(pair: 7, networkFunction: String(repeating: "x", count: 5000))
    let peer = try #require(RawPeer.connect(port: host.port))
    peer.send(long)
    #expect(peer.isClosedByPeer())
    long = MalformedFrameTests.changed(RawMessage.hello(pair: 7)) { $0.count = 100 }
    let other = try #require(RawPeer.connect(port: host.port))
    other.send(long)
    #expect(other.isClosedByPeer())
    #expect(host.node.status.connectionsOpened == 0)
    // A name that is no UTF-8 is some other network function.
    var name = RawMessage.hello(pair: 7)
    name[40] = 0xff
    let third = try #require(RawPeer.connect(port: host.port))
    third.send(name)
    let answer = RawMessage.readHeader(third.receive(32))
    #expect(answer?.detail == ControlMessageHeader.Refusal.networkFunction.rawValue)
  }

  @Test func randomBytes() throws {
    let host = try Host()
    defer { host.stop() }
    for seed in 1...60 as ClosedRange<UInt64> {
      var random = Random(seed)
      let peer = try seed % 2 == 0 ? host.open() : #require(RawPeer.connect(port: host.port))
      var bytes = (0..<(32 + random.below(4000))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      if seed % 3 == 0 { bytes.replaceSubrange(0..<8, with: MalformedFrameTests.prepare.prefix(8)) }
      peer.send(bytes)
      #expect(peer.isClosedByPeer(), "seed \(seed)")
    }
    #expect(host.node.status.badMessageCount >= 60)
  }

  /// Single bytes of a good stream flipped: whatever happens, the node goes on and the lcore sees whole messages only.
  @Test func flippedBits() throws {
    let host = try Host()
    defer { host.stop() }
    host.secondary.longest = (5, 5)
    var stream: [UInt8] = []
    for batch in 1...20 as ClosedRange<UInt64> {
      stream += TestMessage.bytes(
        .prepare, pair: 7, batch: batch, entries: FakePrimary.entries(.prepare, batch, most: 5))
    }
    for seed in 1...60 as ClosedRange<UInt64> {
      var random = Random(seed)
      let peer = try host.open()
      var bytes = stream
      for _ in 0..<3 { bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8)) }
      peer.send(bytes)
      for _ in 0..<20 {
        host.secondary.poll()
        usleep(50)
      }
    }
    let peer = try host.open()
    peer.send(stream)
    eventually("a good stream still passes") {
      host.secondary.poll()
    } _: {
      host.secondary.voted >= 20
    }
    withExtendedLifetime(peer) {}
  }

  @Test(arguments: [1, 7, 31, 33, 100])
  func streamsCutIntoPieces(size: Int) throws {
    let host = try Host()
    defer { host.stop() }
    let peer = try #require(RawPeer.connect(port: host.port))
    let last: UInt64 = size < 30 ? 10 : 100
    var stream = RawMessage.hello(pair: 7)
    for batch in 1...last {
      let entries = FakePrimary.entries(.prepare, batch, most: 60)
      stream += TestMessage.bytes(.prepare, pair: 7, batch: batch, entries: entries)
    }
    var rest = stream[...]
    while !rest.isEmpty {
      peer.send(Array(rest.prefix(size)))
      rest = rest.dropFirst(size)
      host.secondary.poll()
      usleep(20)
    }
    eventually("all in order") {
      host.secondary.poll()
    } _: {
      host.secondary.voted == last
    }
    #expect(host.secondary.damaged == 0 && host.secondary.gaps == 0 && host.secondary.duplicates == 0)
    #expect(host.node.status.badMessageCount == 0)
  }

  /// A connection that ends inside a message leaves nothing of it behind.
  @Test func halfAMessage() throws {
    let host = try Host()
    defer { host.stop() }
    let good = TestMessage.bytes(.prepare, pair: 7, batch: 1, entries: FakePrimary.entries(.prepare, 1, most: 60))
    for count in [1, 31, 32, 33, good.count - 1] {
      do {
        let peer = try host.open()
        peer.send(Array(good.prefix(count)))
      }
      let lost = host.node.status.connectionsLost
      eventually("closed") { host.node.status.connectionsLost > lost || host.node.status.pairs[0].link == .down }
    }
    let peer = try host.open()
    peer.send(good)
    eventually("the whole one") {
      host.secondary.poll()
    } _: {
      host.secondary.voted == 1
    }
    #expect(host.secondary.damaged == 0 && host.secondary.gaps == 0 && host.secondary.duplicates == 0)
    withExtendedLifetime(peer) {}
  }
}
