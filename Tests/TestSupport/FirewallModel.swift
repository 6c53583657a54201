import Foundation

/// The firewall's rules once more, as plainly as they can be said: dictionaries, strings, no table of transitions. It
/// shares no code with the firewall and keeps the flows' times itself, so it can judge a whole capture, frame by frame.
public final class FirewallModel {
  private let inside: [(address: [UInt8], bits: Int)]
  private let midstream: Bool
  private var flows: [String: Flow] = [:]

  private final class Flow {
    /// The flow's time, ns: never goes back.
    var time: UInt64 = 0
    /// nil: closed.
    var phase: String?
    var opener = ""
    /// The ends that have sent FIN.
    var finished: Set<String> = []
    var lastPassed: UInt64 = 0
    var timeout: UInt64 = 0
  }

  /// Seconds.
  private static let timeouts = [
    "SYN": 120, "SYN answered": 60, "established": 7440, "half closed": 240, "both closed": 120, "reset": 10,
    "udp": 120, "fragment": 120, "icmp": 60, "other": 600,
  ]

  /// - Parameter inside: networks in CIDR notation, with their length.
  public init(inside: [String], midstream: Bool = false) {
    self.inside = inside.map { text in
      let parts = text.split(separator: "/")
      let isIPv6 = text.contains(":")
      var address = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
      let read = inet_pton(isIPv6 ? AF_INET6 : AF_INET, String(parts[0]), &address)
      precondition(read == 1, "\(text) is not a network")
      return (address, Int(parts[1])!)
    }
    self.midstream = midstream
  }

  /// Whether the firewall lets the frame through.
  /// - Parameter time: ns since 1970.
  public func passes(_ frame: [UInt8], time: UInt64) -> Bool {
    passes(ModelPacket(frame), time: time)
  }

  public func passes(_ packet: ModelPacket, time: UInt64) -> Bool {
    guard let name = packet.flow else { return packet.content == .notIP }
    let flow = flows[name] ?? Flow()
    flows[name] = flow
    flow.time = max(flow.time, time)
    if flow.phase != nil, flow.time - flow.lastPassed >= flow.timeout { flow.phase = nil }

    switch packet.content {
    case .notIP, .unreadable, .incomplete, .tcp(flags: nil): return false
    case .tcp(.some(let flags)): return passesTCP(packet, flags, flow)
    case .fragment: return passesOther(packet, "fragment", flow)
    case .udp: return passesOther(packet, "udp", flow)
    case .icmp: return passesOther(packet, "icmp", flow)
    case .other: return passesOther(packet, "other", flow)
    }
  }

  private func passesOther(_ packet: ModelPacket, _ kind: String, _ flow: Flow) -> Bool {
    if flow.phase == nil, !isInside(packet.sourceAddress) { return false }
    pass(flow, kind)
    return true
  }

  private func passesTCP(_ packet: ModelPacket, _ flags: Set<String>, _ flow: Flow) -> Bool {
    let legal: [Set<String>] = [["SYN"], ["SYN", "ACK"], ["ACK"], ["FIN", "ACK"], ["RST"], ["RST", "ACK"]]
    guard legal.contains(flags) else { return false }
    let isOver = flow.phase == nil || flow.phase == "both closed" || flow.phase == "reset"

    // A new connection; only an inside host may begin one.
    if flags == ["SYN"], isOver {
      guard isInside(packet.sourceAddress) else { return false }
      open(flow, packet, "SYN")
      return true
    }
    if flow.phase == nil {
      guard midstream, flags == ["ACK"] || flags == ["FIN", "ACK"], isInside(packet.sourceAddress) else { return false }
      open(flow, packet, "established")
      if flags.contains("FIN") { finish(flow, packet) }
      return true
    }

    if flags.contains("RST") {
      if flow.phase != "reset" { pass(flow, "reset") }
      return true
    }
    if flow.phase == "reset" { return !flags.contains("SYN") }  // what was under way; it does not prolong the flow

    let isOpener = packet.sender == flow.opener
    if flags == ["SYN"] {
      // Repetitions pass; the responder's own SYN is a simultaneous open, possible until the handshake is over.
      if isOpener {
        pass(flow, flow.phase!)
      } else if flow.phase == "SYN" || flow.phase == "SYN answered" {
        pass(flow, "SYN answered")
      } else {
        return false
      }
    } else if flags == ["SYN", "ACK"] {
      if flow.phase == "both closed" { return false }
      if isOpener, flow.phase != "SYN answered" { return false }
      pass(flow, flow.phase == "SYN" ? "SYN answered" : flow.phase!)
    } else if flags.contains("FIN") {
      if flow.phase == "SYN" { return false }
      finish(flow, packet)
    } else if flow.phase == "SYN" && isOpener {
      return false
    } else {
      pass(flow, flow.phase == "SYN answered" && isOpener ? "established" : flow.phase!)
    }
    return true
  }

  private func open(_ flow: Flow, _ packet: ModelPacket, _ phase: String) {
    flow.opener = packet.sender
    flow.finished = []
    pass(flow, phase)
  }

  private func finish(_ flow: Flow, _ packet: ModelPacket) {
    flow.finished.insert(packet.sender == flow.opener ? "opener" : "responder")
    pass(flow, flow.finished.count == 2 ? "both closed" : "half closed")
  }

  private func pass(_ flow: Flow, _ phase: String) {
    flow.phase = phase
    flow.lastPassed = flow.time
    flow.timeout = UInt64(FirewallModel.timeouts[phase]!) * 1_000_000_000
  }

  private func isInside(_ address: [UInt8]) -> Bool {
    func bits(_ address: [UInt8]) -> [Bool] { address.flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 == 1 } } }
    return inside.contains { network in
      network.address.count == address.count
        && bits(network.address).prefix(network.bits) == bits(address).prefix(network.bits)
    }
  }
}
