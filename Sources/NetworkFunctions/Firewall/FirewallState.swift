import DEFTCore

extension Firewall {
  /// Where a flow stands. "Opener" is the end whose packet opened the flow, "responder" the other one.
  @frozen
  public enum Phase: UInt8, CaseIterable, Sendable {
    /// Nothing is open: no packet yet, none that may open the flow, or the time-out has passed.
    case closed = 0
    /// TCP: the opener's SYN has passed.
    case synSent
    /// TCP: it has been answered by SYN+ACK, or by a SYN of the responder's own (simultaneous open, RFC 9293 §3.5).
    case synReceived
    /// TCP: the handshake is complete.
    case established
    /// TCP: the opener has sent FIN, the responder has not.
    case openerFin
    /// TCP: the responder has sent FIN, the opener has not.
    case responderFin
    /// TCP: both have sent FIN; last acknowledgements and repetitions may follow.
    case timeWait
    /// TCP: one of them has sent RST.
    case reset
    /// Any other protocol, and fragments: a packet from inside has opened the flow.
    case open
  }

  /// What the firewall remembers of one flow. 16 bytes, no padding.
  @frozen
  public struct State: Equatable, Sendable, BitwiseCopyable {
    /// Flow time, ns since 1970, from which on an open flow counts as closed.
    public var deadline: UInt64
    /// Packets of the flow that were dropped; wraps.
    public var dropped: UInt32
    /// A `Phase`. Kept as a number, as states come from other hosts: one that means nothing counts as closed.
    public var rawPhase: UInt8
    /// 1: the opener is the lower end of the canonical flow key; 0: the upper one, or nothing is open.
    public var openerIsLower: UInt8
    /// 0. Names the bytes that would be padding.
    public var reserved: UInt16

    @inlinable @inline(__always)
    public init() { (deadline, dropped, rawPhase, openerIsLower, reserved) = (0, 0, 0, 0, 0) }

    @inlinable @inline(__always)
    public var phase: Phase {
      get { Phase(rawValue: rawPhase) ?? .closed }
      set { rawPhase = newValue.rawValue }
    }

    /// The phase at a flow time: `closed` once the deadline is reached.
    @inlinable @inline(__always)
    public func phase(at time: UInt64) -> Phase { time < deadline ? phase : .closed }
  }

  /// Time-outs in ns of flow time since the last packet that passed. Those of TCP are Linux conntrack's, but for
  /// the two that RFC 5382 REQ-5 sets; the others follow RFC 4787 REQ-5 (UDP) and RFC 5508 REQ-2 (ICMP).
  public enum Timeout {
    @usableFromInline static let second: UInt64 = 1_000_000_000

    /// After a packet that left a TCP flow in `phase`. Every packet that passes starts it anew, except in `reset`: there
    /// it runs from the first RST.
    @inlinable @inline(__always)
    public static func tcp(_ phase: Phase) -> UInt64 {
      switch phase {
      case .synSent: 120 * second
      case .synReceived: 60 * second
      case .established: 7440 * second  // 2 h 4 min: outlasts the keep-alive of RFC 9293 §3.8.4
      case .openerFin, .responderFin: 240 * second
      case .timeWait: 120 * second
      case .reset: 10 * second
      case .closed, .open: 0
      }
    }

    /// UDP, UDP-Lite, and fragments of any protocol.
    public static var datagram: UInt64 { @inlinable @inline(__always) get { 120 * second } }
    public static var icmp: UInt64 { @inlinable @inline(__always) get { 60 * second } }
    /// SCTP and all other protocols over IP.
    public static var other: UInt64 { @inlinable @inline(__always) get { 600 * second } }
  }
}
