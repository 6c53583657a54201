import DEFTCore
import DEFTWire

/// A connection-tracking firewall: a flow (5-tuple, both directions) is opened by a packet from an inside address only;
/// packets of a flow that is not open are dropped.
///
/// | packet | judged by |
/// |---|---|
/// | TCP | `TCPTransitions`; opened by a SYN without ACK |
/// | UDP, ICMP, SCTP, any other protocol over IP | opened by any packet from inside, kept open by both directions |
/// | IP fragment | the same, as a flow of its own: all fragments of a protocol between two hosts |
/// | IP that cannot be parsed; frame or VLAN tags that end before the EtherType; more than 8 VLAN tags | dropped |
/// | TCP, UDP, ICMP, SCTP header or IPv6 extension headers incomplete; more than 8 of those | dropped |
/// | TCP data offset below 5 (RFC 9293 §3.1), flags that no TCP sends (`TCPTransitions.Segment`) | dropped |
/// | not IP: ARP, LLDP, spanning tree … | passed: a network without them does not work |
///
/// - Both ends inside: either may open; tracked like any other flow. Both outside: dropped.
/// - A connection that was already open when the firewall first sees it (or whose time-out has passed) is refused;
///   with `midstream` an ACK or FIN from inside opens it, as Linux does with `nf_conntrack_tcp_loose`. For captures that
///   begin in the middle of connections. It weakens the firewall: an inside server's answers open what its SYN+ACK
///   did not.
/// - Time-outs run on flow time (R19), see `Timeout`.
///
/// What follows from R15 (no other flow is looked at) and from the flow key:
/// - An ICMP error about a TCP or UDP flow is not related to it: it passes if an inside host has sent ICMP to the
///   error's sender within the time-out, as any ICMP does.
/// - Fragments from outside pass only if fragments of the same protocol have been sent to their sender from inside.
/// - There is no check of sequence numbers: who can forge addresses and ports can pass packets into an open flow, or
///   reset it.
/// - IP inside MPLS, PPPoE or another encapsulation below IP is not IP here, and passes.
@frozen
public struct Firewall: NetworkFunction, @unchecked Sendable {
  // Unchecked for the pointers in the table, whose memory nobody writes after `init`.
  @usableFromInline let inside: InsideTable
  @usableFromInline let midstream: Bool

  /// Private addresses (RFC 1918), unique local ones (RFC 4193) and link-local ones (RFC 4291 §2.5.6). The last are
  /// here because neighbour discovery, IPv6's ARP, uses them; no router forwards them, so their sender is on the link.
  public static var defaultInside: [CIDR] {
    [
      CIDR(ipv4: 0x0a00_0000, prefixLength: 8),
      CIDR(ipv4: 0xac10_0000, prefixLength: 12),
      CIDR(ipv4: 0xc0a8_0000, prefixLength: 16),
      CIDR(ipv6: 0xfc00_0000_0000_0000, 0, prefixLength: 7),
      CIDR(ipv6: 0xfe80_0000_0000_0000, 0, prefixLength: 10),
    ]
  }

  /// - Parameters:
  ///   - inside: the protected networks; none means `defaultInside`. They replace the default: with IPv4 networks only,
  ///     nothing of IPv6 passes, neighbour discovery included.
  ///   - midstream: whether a TCP connection may be picked up without its SYN.
  public init(inside: [CIDR] = [], midstream: Bool = false) {
    self.inside = InsideTable(inside.isEmpty ? Firewall.defaultInside : inside)
    self.midstream = midstream
  }

  @inlinable @inline(__always)
  public static var initialState: State { State() }
  public static var name: String { "firewall" }
  public static var summary: String { "tracks connections; lets in only what an inside address has opened" }

  @inlinable @inline(__always)
  public func process(_ packet: PacketView, _ state: inout State, _ context: PacketContext) -> Verdict {
    let passes: Bool
    if _fastPath(packet.layout.transport == .tcp) {
      passes = passesTCP(packet, &state, context.time)
    } else if packet.layout.networkOffset != 0 {
      passes = passesDatagram(packet, &state, context.time)
    } else {
      passes = Firewall.isNotIP(packet)
    }
    if passes { return .pass }
    state.dropped &+= 1
    return .drop
  }

  @inlinable @inline(__always)
  func passesTCP(_ packet: PacketView, _ state: inout State, _ time: UInt64) -> Bool {
    let header = packet.frame + packet.layout.transportOffset
    guard header.byte(12) >= 0x50, let segment = TCPTransitions.Segment(flags: header.byte(13)) else { return false }
    let phase = state.phase(at: time)
    let sender: UInt8 = packet.layout.sourceIsLower ? 1 : 0
    switch TCPTransitions.next(phase, segment, fromOpener: sender == state.openerIsLower, midstream: midstream) {
    case .prohibited:
      return false
    case .to(let next):
      // A flow that was reset goes 10 s after the first RST, whatever still comes.
      if phase != .reset { state.deadline = time &+ Timeout.tcp(next) }
      state.phase = next
    case .open(let next):
      guard isFromInside(packet) else { return false }
      state.deadline = time &+ Timeout.tcp(next)
      state.phase = next
      state.openerIsLower = sender
    }
    return true
  }

  /// Everything over IP but TCP, and fragments.
  @inlinable @inline(__always)
  func passesDatagram(_ packet: PacketView, _ state: inout State, _ time: UInt64) -> Bool {
    let layout = packet.layout
    let timeout: UInt64
    switch layout.transport {
    case .none:
      guard layout.isFragment else { return false }
      timeout = Timeout.datagram
    case .udp: timeout = Timeout.datagram
    case .icmp: timeout = Timeout.icmp
    case .sctp, .other: timeout = Timeout.other
    case .tcp: return false  // has been judged by `passesTCP`
    }
    if state.phase(at: time) != .open {
      guard isFromInside(packet) else { return false }
      state.phase = .open
      state.openerIsLower = layout.sourceIsLower ? 1 : 0
    }
    state.deadline = time &+ timeout
    return true
  }

  @inlinable @inline(__always)
  func isFromInside(_ packet: PacketView) -> Bool {
    packet.layout.isIPv4 ? inside.contains(ipv4: packet.sourceIPv4) : inside.contains(ipv6: packet.sourceIPv6)
  }

  /// Whether a frame without a parsed IP header is of another protocol. What cannot be told apart from IP is not.
  @inlinable
  static func isNotIP(_ packet: PacketView) -> Bool {
    var offset = 12
    var tags = 0
    while packet.contiguous >= offset + 2 {
      switch packet.frame.bigEndian16(offset) {
      case 0x0800, 0x86dd: return false
      case 0x8100, 0x88a8, 0x9100:  // VLAN tags, as `FrameParser` follows them
        tags += 1
        offset += 4
        if tags > 8 { return false }
      default: return true
      }
    }
    return false
  }
}
