import DEFTCore

/// The NFs that can be named on the command line. Who runs one switches over this once, at set-up, and calls generic
/// code with the concrete type: nothing here is for the packet path.
public enum NetworkFunctionKind: String, CaseIterable, Sendable {
  case monitor
  case firewall

  /// One line for `deft list`.
  public var summary: String {
    switch self {
    case .monitor: Monitor.summary
    case .firewall: Firewall.summary
    }
  }

  /// The options that concern this NF, one per entry; empty if there are none.
  public var options: [String] {
    switch self {
    case .monitor: []
    case .firewall:
      [
        "--inside <cidr,…>  protected networks, IPv4 or IPv6 (default: "
          + Firewall.defaultInside.map(\.description).joined(separator: ", ") + ")",
        "--midstream      let an ACK or FIN from inside open a TCP connection whose SYN was not seen",
      ]
    }
  }

  /// Bytes that one flow's state takes, in the table and in every state clock.
  public var stateByteCount: Int {
    switch self {
    case .monitor: MemoryLayout<Monitor.State>.size
    case .firewall: MemoryLayout<Firewall.State>.size
    }
  }
}
