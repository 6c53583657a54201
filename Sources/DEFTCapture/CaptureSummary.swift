/// What one pass over a capture found.
public struct CaptureSummary: Equatable, Sendable {
  /// Packets in the file.
  public var packets = 0
  /// Captured bytes, all packets together: what a replay sends. Without FCS, record headers and what the snap length cut.
  public var bytes: UInt64 = 0
  /// The longest captured frame, in bytes without FCS.
  public var largestFrame = 0
  /// Frames of which the capture holds only the beginning (captured length < length on the wire).
  public var cutFrames = 0
  /// Frames of which the capture holds no byte. DPDK's pcap driver would hand them on as empty mbufs.
  public var emptyFrames = 0
  /// libpcap's name of the link type; "EN10MB" is Ethernet.
  public var linkType = ""
  /// The earliest timestamp, in ns since 1970-01-01 UTC. The packets need not be in order of time.
  public var firstTimestamp: Int64 = 0
  /// The latest timestamp, in ns since 1970-01-01 UTC.
  public var lastTimestamp: Int64 = 0

  /// From the earliest to the latest packet, in ns.
  public var durationNanoseconds: Int64 { lastTimestamp - firstTimestamp }
}
