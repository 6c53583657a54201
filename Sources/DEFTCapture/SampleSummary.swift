/// What was written. Bytes are those of the frames, without FCS and record headers.
public struct SampleSummary: Equatable, Sendable {
  /// Flows by kind. A flow counts in several: a tagged IPv6 UDP flow is one of `ipv6`, `udp` and `vlan`.
  public struct Flows: Equatable, Sendable {
    public var total = 0
    public var ipv4 = 0
    public var ipv6 = 0
    public var tcp = 0
    public var udp = 0
    public var icmp = 0
    /// One 802.1Q tag.
    public var vlan = 0
    /// An 802.1ad tag and an 802.1Q tag.
    public var qinq = 0
    /// UDP flows some of whose datagrams are fragmented.
    public var fragmented = 0
    /// IPv6 flows with a hop-by-hop or destination options header now and then.
    public var extensionHeaders = 0
    /// Opened from outside; nobody answers them.
    public var unsolicited = 0
  }

  /// Packets by kind; fragments count in their protocol too.
  public struct Packets: Equatable, Sendable {
    public var total = 0
    public var tcp = 0
    public var udp = 0
    public var icmp = 0
    public var arp = 0
    public var lldp = 0
    public var ipv4Fragments = 0
    public var ipv6Fragments = 0
    public var extensionHeaders = 0
  }

  public var packets = Packets()
  public var bytes: UInt64 = 0
  /// The size of the file, in bytes.
  public var fileBytes: UInt64 = 0
  /// From the first packet to the last, in ns.
  public var durationNanoseconds: UInt64 = 0
  public var flows = Flows()

  public init() {}
}
