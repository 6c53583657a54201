import DEFTCore
import DEFTWire
import Testing

@testable import NetworkFunctions

@Suite struct FirewallTests {
  static let second: UInt64 = 1_000_000_000
  let client = End(address: [10, 0, 0, 1], port: 1000)
  let server = End(address: [192, 0, 2, 1], port: 80)
  let other = End(address: [198, 51, 100, 1], port: 90)
  let syn = Frames.syn, ack = Frames.ack, fin = Frames.fin | Frames.ack, rst = Frames.rst
  let synAck = Frames.syn | Frames.ack

  /// A phase as frames bring it about: client is the opener.
  func replica(in phase: Firewall.Phase, at time: UInt64) -> Replica<Firewall> {
    var replica = Replica(Firewall())
    let handshake: [(Bool, UInt8)] = [(true, syn), (false, synAck), (true, ack)]
    let steps: [(Bool, UInt8)] =
      switch phase {
      case .closed, .open: []
      case .synSent: Array(handshake.prefix(1))
      case .synReceived: Array(handshake.prefix(2))
      case .established: handshake
      case .openerFin: handshake + [(true, fin)]
      case .responderFin: handshake + [(false, fin)]
      case .timeWait: handshake + [(true, fin), (false, fin)]
      case .reset: handshake + [(false, rst)]
      }
    for (fromClient, flags) in steps {
      #expect(replica.run(tcp(fromClient, flags), time: time) == .pass)
    }
    if phase != .closed { #expect(replica.state.phase == phase) }
    return replica
  }

  func tcp(_ fromClient: Bool, _ flags: UInt8) -> [UInt8] {
    fromClient ? Frames.tcp(client, server, flags) : Frames.tcp(server, client, flags)
  }

  @Test func stateHasNoPadding() {
    #expect(MemoryLayout<Firewall.State>.size == 16)
    #expect(MemoryLayout<Firewall.State>.stride == 16)
    withUnsafeBytes(of: Firewall.initialState) { bytes in #expect(bytes.allSatisfy { $0 == 0 }) }
  }

  @Test func unknownPhaseCountsAsClosed() {
    var state = Firewall.State()
    state.rawPhase = 200
    state.deadline = .max
    #expect(state.phase(at: 1) == .closed)
  }

  /// Every phase with every segment from either side, by frames: verdict, next phase, opener, deadline, count of drops.
  @Test(arguments: Firewall.Phase.allCases.filter { $0 != .open })
  func everyTransition(phase: Firewall.Phase) {
    for segment in TCPTransitions.Segment.allCases {
      for fromClient in [true, false] {
        let flags = [syn, synAck, ack, fin, rst][Int(segment.rawValue)]
        var replica = replica(in: phase, at: 1)
        let before = phase == .closed ? Firewall.State() : replica.state
        let verdict = replica.run(tcp(fromClient, flags), time: 2)
        let after = replica.state
        // Where nothing is open there is no opener, and both columns of the table agree.
        switch TCPTransitions.next(phase, segment, fromOpener: fromClient, midstream: false) {
        case .to(let next):
          #expect(verdict == .pass)
          #expect(after.phase == next)
          #expect(after.openerIsLower == before.openerIsLower)
          #expect(after.deadline == (phase == .reset ? before.deadline : 2 + Firewall.Timeout.tcp(next)))
        case .open(let next) where fromClient:
          #expect(verdict == .pass)
          #expect(after.phase == next)
          #expect(after.openerIsLower == 1)  // 10.0.0.1 is below 192.0.2.1
          #expect(after.deadline == 2 + Firewall.Timeout.tcp(next))
        case .open, .prohibited:
          #expect(verdict == .drop)
          var expected = before
          expected.dropped += 1
          #expect(after == expected)
        }
      }
    }
  }

  /// The last ns before a phase's time-out is still in it, the next one is not: then a SYN from inside opens a new
  /// connection and the server's ACK is dropped.
  @Test(
    arguments: [
      (Firewall.Phase.synSent, 120), (.synReceived, 60), (.established, 7440), (.openerFin, 240), (.responderFin, 240),
      (.timeWait, 120), (.reset, 10),
    ] as [(Firewall.Phase, UInt64)])
  func timesOut(phase: Firewall.Phase, seconds: UInt64) {
    let start: UInt64 = 1_700_000_000 * FirewallTests.second
    let end = start + seconds * FirewallTests.second
    var inTime = replica(in: phase, at: start)
    #expect(inTime.run(tcp(false, ack), time: end - 1) == .pass)
    var late = replica(in: phase, at: start)
    #expect(late.run(tcp(false, ack), time: end) == .drop)
    #expect(late.run(tcp(true, syn), time: end) == .pass)
    #expect(late.state.phase == .synSent)
  }

  @Test func trafficRefreshesAllButReset() {
    let s = FirewallTests.second
    var refreshed = replica(in: .established, at: s)
    #expect(refreshed.run(tcp(false, ack), time: 7000 * s) == .pass)
    #expect(refreshed.run(tcp(false, ack), time: 14000 * s) == .pass)
    var reset = replica(in: .reset, at: s)
    #expect(reset.run(tcp(false, rst), time: 10 * s) == .pass)
    #expect(reset.run(tcp(false, ack), time: 11 * s) == .drop)
  }

  @Test func otherProtocolsOpenFromInsideAndTimeOut() {
    let s = FirewallTests.second
    let inside6 = End(address: [0xfd] + [UInt8](repeating: 1, count: 15), port: 1)
    let outside6 = End(address: [0x20] + [UInt8](repeating: 1, count: 15), port: 2)
    let builders: [(UInt64, (End, End) -> [UInt8])] = [
      (120, Frames.udp), (60, Frames.icmp), (600, Frames.sctp), (600, { Frames.ip($0, $1, 47, [1, 2]) }),
      (120, { Frames.fragment($0, $1, 6) }), (120, { Frames.fragment($0, $1, 17) }),
    ]
    for (seconds, frame) in builders {
      for (inside, outside) in [(client, server), (inside6, outside6)] {
        var replica = Replica(Firewall())
        #expect(replica.run(frame(outside, inside), time: s) == .drop)
        #expect(replica.run(frame(inside, outside), time: 2 * s) == .pass)
        #expect(replica.run(frame(outside, inside), time: (2 + seconds) * s - 1) == .pass)
        #expect(replica.run(frame(outside, inside), time: (2 + 2 * seconds) * s - 1) == .drop)
        #expect(replica.state.dropped == 2)
        #expect(replica.state.phase == .open)
      }
    }
  }

  @Test func fragmentsAreAFlowOfTheirOwn() {
    var replica = Replica(Firewall())
    #expect(replica.run(Frames.udp(client, server), time: 1) == .pass)
    #expect(replica.run(Frames.fragment(server, client, 17), time: 2) == .drop)
    #expect(replica.run(Frames.fragment(client, server, 17), time: 3) == .pass)
    #expect(replica.run(Frames.fragment(server, client, 17), time: 4) == .pass)
    #expect(replica.run(Frames.fragment(server, client, 6), time: 5) == .drop)
  }

  @Test func bothEndsInsideMayOpenBothOutsideMayNot() {
    let colleague = End(address: [192, 168, 0, 9], port: 22)
    for (a, b) in [(client, colleague), (colleague, client)] {
      var replica = Replica(Firewall())
      #expect(replica.run(Frames.tcp(a, b, ack), time: 1) == .drop)
      #expect(replica.run(Frames.tcp(a, b, syn), time: 1) == .pass)
      #expect(replica.run(Frames.tcp(b, a, synAck), time: 2) == .pass)
      #expect(replica.run(Frames.tcp(a, b, ack), time: 3) == .pass)
      #expect(replica.state.phase == .established)
      #expect(replica.run(Frames.tcp(b, a, rst), time: 4) == .pass)
      // The former responder opens the next one.
      #expect(replica.run(Frames.tcp(b, a, syn), time: 5) == .pass)
      #expect(replica.run(Frames.tcp(a, b, synAck), time: 6) == .pass)
      #expect(replica.run(Frames.tcp(b, a, ack), time: 7) == .pass)
      #expect(replica.state.phase == .established)
    }
    var replica = Replica(Firewall())
    #expect(replica.run(Frames.tcp(server, other, syn), time: 1) == .drop)
    #expect(replica.run(Frames.udp(server, other), time: 1) == .drop)
  }

  @Test func midstreamTakesACKAndFINFromInside() {
    let firewall = Firewall(midstream: true)
    for (flags, phase) in [(ack, Firewall.Phase.established), (fin, .openerFin)] {
      var replica = Replica(firewall)
      #expect(replica.run(tcp(false, flags), time: 1) == .drop)
      #expect(replica.run(tcp(true, flags), time: 2) == .pass)
      #expect(replica.state.phase == phase)
      #expect(replica.run(tcp(false, ack), time: 3) == .pass)
    }
    for flags in [synAck, rst] {
      var replica = Replica(firewall)
      #expect(replica.run(tcp(true, flags), time: 1) == .drop)
    }
  }

  @Test func malformedTCPIsDroppedEvenInAnOpenFlow() {
    var replica = replica(in: .established, at: 1)
    #expect(replica.run(Frames.tcp(client, server, ack, dataOffset: 4), time: 2) == .drop)
    let impossible = [
      0, Frames.fin, Frames.syn | Frames.fin, Frames.syn | Frames.rst, Frames.fin | Frames.rst, 0xff,
    ]
    for flags in impossible {
      #expect(replica.run(tcp(true, flags), time: 2) == .drop)
    }
    let incomplete = Frames.ip(client, server, 6, [0x03, 0xe8, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, ack])
    #expect(replica.run(incomplete, time: 2) == .drop)
    #expect(replica.state.phase == .established)
    #expect(replica.state.dropped == 8)
  }

  @Test func incompleteHeadersAreDropped() {
    var replica = Replica(Firewall())
    #expect(replica.run(Frames.ip(client, server, 17, [0, 1, 0, 2, 0, 8]), time: 1) == .drop)
    #expect(replica.run(Frames.ip(client, server, 1, [8, 0]), time: 1) == .drop)
    #expect(replica.run(Frames.ip(client, server, 132, [0, 1, 0, 2]), time: 1) == .drop)
    let inside6 = End(address: [0xfd] + [UInt8](repeating: 1, count: 15))
    #expect(replica.run(Frames.ip(inside6, inside6, 60, [59, 9, 0, 0, 0, 0, 0, 0]), time: 1) == .drop)
    #expect(replica.run(Frames.ip(inside6, inside6, 60, [59, 0, 0, 0, 0, 0, 0, 0]), time: 1) == .pass)
  }

  @Test func whatIsNotIPPasses() {
    var replica = Replica(Firewall())
    for type in [0x0806, 0x88cc, 0x8847, 0x8864, 0x0026, 0x894f] as [UInt16] {
      for tags in [0, 1, 2, 8] {
        #expect(replica.run(Frames.ethernet(type, [1, 2, 3], tags: tags), time: 1) == .pass)
      }
    }
  }

  @Test func whatMayBeIPButCannotBeReadIsDropped() {
    var replica = Replica(Firewall())
    let frames: [[UInt8]] = [
      [], [1], [UInt8](repeating: 0, count: 13),
      Frames.ethernet(0x0800, [0x45, 0, 0, 20]),
      Frames.ethernet(0x0800, [UInt8](repeating: 0x60, count: 60)),
      Frames.ethernet(0x86dd, [UInt8](repeating: 0x45, count: 60), tags: 2),
      Frames.ethernet(0x8100, []), Frames.ethernet(0x8100, [0, 1, 8]),
      Frames.ethernet(0x0806, [1, 2, 3], tags: 9),
    ]
    for frame in frames { #expect(replica.run(frame, time: 1) == .drop, "\(frame)") }
  }

  @Test func insideReplacesTheDefault() throws {
    var replica = Replica(Firewall(inside: [try CIDR("192.0.2.0/24")]))
    #expect(replica.run(tcp(true, syn), time: 1) == .drop)
    #expect(replica.run(tcp(false, syn), time: 1) == .pass)
    var defaults = Replica(Firewall(inside: Firewall.defaultInside))
    #expect(defaults.run(tcp(true, syn), time: 1) == .pass)
  }
}
