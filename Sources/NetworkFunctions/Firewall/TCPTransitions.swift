/// The TCP state machine of the firewall: Linux conntrack's in spirit, without sequence numbers.
///
/// Cells name the phase after the packet; the packet passes. `–`: prohibited, the packet is dropped and the phase stays.
/// `!`: opens the flow, so the sender must be inside; it becomes the opener. `(…)`: only with the option `midstream`,
/// else prohibited. In `closed` there is no opener yet, both tables say the same.
///
/// From the opener:
///
/// | phase        | SYN          | SYN+ACK     | ACK            | FIN          | RST    |
/// |--------------|--------------|-------------|----------------|--------------|--------|
/// | closed       | synSent!     | –           | (established!) | (openerFin!) | –      |
/// | synSent      | synSent      | –           | –              | –            | reset  |
/// | synReceived  | synReceived  | synReceived | established    | openerFin    | reset  |
/// | established  | established  | –           | established    | openerFin    | reset  |
/// | openerFin    | openerFin    | –           | openerFin      | openerFin    | reset  |
/// | responderFin | responderFin | –           | responderFin   | timeWait     | reset  |
/// | timeWait     | synSent!     | –           | timeWait       | timeWait     | reset  |
/// | reset        | synSent!     | –           | reset          | reset        | reset  |
/// | open         | –            | –           | –              | –            | –      |
///
/// From the responder:
///
/// | phase        | SYN          | SYN+ACK      | ACK            | FIN          | RST    |
/// |--------------|--------------|--------------|----------------|--------------|--------|
/// | closed       | synSent!     | –            | (established!) | (openerFin!) | –      |
/// | synSent      | synReceived  | synReceived  | synSent        | –            | reset  |
/// | synReceived  | synReceived  | synReceived  | synReceived    | responderFin | reset  |
/// | established  | –            | established  | established    | responderFin | reset  |
/// | openerFin    | –            | openerFin    | openerFin      | timeWait     | reset  |
/// | responderFin | –            | responderFin | responderFin   | responderFin | reset  |
/// | timeWait     | synSent!     | –            | timeWait       | timeWait     | reset  |
/// | reset        | synSent!     | –            | reset          | reset        | reset  |
/// | open         | –            | –            | –              | –            | –      |
///
/// Why:
/// - A SYN of the opener in an open flow passes and changes nothing: an opener that has restarted needs the challenge
///   ACK that it provokes (RFC 5961 §4). Likewise the responder's ACK in `synSent` (RFC 9293 §3.5.1, half-open).
/// - What is under way when an RST passes may follow for the 10 s of `reset`: an RST that the receiver doubts
///   is answered by a challenge ACK (RFC 5961 §3), which must come through.
/// - The opener's SYN+ACK in `synReceived` is the other half of a simultaneous open.
/// - A SYN+ACK never opens a flow, not even with `midstream`: it says that the other end sent the SYN.
/// - `open` is never the phase of a TCP flow.
///
/// The tests read these two tables from this comment and check `next` against them.
@frozen
public enum TCPTransitions {
  /// What a TCP segment does, from its flags. PSH, URG, ECE and CWR change nothing.
  @frozen
  public enum Segment: UInt8, CaseIterable, Sendable {
    case syn, synAck, ack, fin, rst

    /// nil for what no TCP sends: no flag at all, FIN without ACK, SYN with FIN, RST with SYN or FIN.
    @inlinable @inline(__always)
    public init?(flags: UInt8) {
      switch flags & 0b1_0111 {  // ACK, RST, SYN, FIN (RFC 9293 §3.1)
      case 0b1_0000: self = .ack
      case 0b0_0010: self = .syn
      case 0b1_0010: self = .synAck
      case 0b1_0001: self = .fin
      case 0b0_0100, 0b1_0100: self = .rst
      default: return nil
      }
    }
  }

  @frozen
  public enum Move: Equatable, Sendable {
    case prohibited
    /// The packet passes.
    case to(Firewall.Phase)
    /// The packet passes if its sender is inside, who becomes the opener; prohibited otherwise.
    case open(Firewall.Phase)
  }

  @inlinable @inline(__always)
  public static func next(_ phase: Firewall.Phase, _ segment: Segment, fromOpener: Bool, midstream: Bool) -> Move {
    switch phase {
    case .closed:
      switch segment {
      case .syn: .open(.synSent)
      case .ack: midstream ? .open(.established) : .prohibited
      case .fin: midstream ? .open(.openerFin) : .prohibited
      case .synAck, .rst: .prohibited
      }
    case .synSent:
      switch segment {
      case .syn: .to(fromOpener ? .synSent : .synReceived)
      case .synAck: fromOpener ? .prohibited : .to(.synReceived)
      case .ack: fromOpener ? .prohibited : .to(.synSent)
      case .fin: .prohibited
      case .rst: .to(.reset)
      }
    case .synReceived:
      switch segment {
      case .syn, .synAck: .to(.synReceived)
      case .ack: .to(fromOpener ? .established : .synReceived)
      case .fin: .to(fromOpener ? .openerFin : .responderFin)
      case .rst: .to(.reset)
      }
    case .established, .openerFin, .responderFin:
      switch segment {
      case .syn: fromOpener ? .to(phase) : .prohibited
      case .synAck: fromOpener ? .prohibited : .to(phase)
      case .ack: .to(phase)
      case .fin: .to(afterFin(phase, fromOpener: fromOpener))
      case .rst: .to(.reset)
      }
    case .timeWait, .reset:
      switch segment {
      case .syn: .open(.synSent)
      case .synAck: .prohibited
      case .ack, .fin: .to(phase)
      case .rst: .to(.reset)
      }
    case .open: .prohibited
    }
  }

  /// `timeWait` once both have sent FIN.
  @inlinable @inline(__always)
  static func afterFin(_ phase: Firewall.Phase, fromOpener: Bool) -> Firewall.Phase {
    let own: Firewall.Phase = fromOpener ? .openerFin : .responderFin
    return phase == .established || phase == own ? own : .timeWait
  }
}
