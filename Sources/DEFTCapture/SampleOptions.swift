/// What a sample capture shall hold. The same options give the same bytes, on every machine.
public struct SampleOptions: Equatable, Sendable {
  public enum Profile: String, CaseIterable, Sendable {
    /// TCP, UDP and ICMP conversations over IPv4 and IPv6 with the sizes of the Internet mix, 7 : 4 : 1 frames of 64, 594
    /// and 1518 bytes with FCS; tags, fragments, extension headers, ARP and LLDP.
    case imix
    /// UDP over IPv4 only, 64 bytes on the wire with FCS (60 in the file), from inside to outside, flows equally popular.
    case minimum = "64b"
  }

  /// In which order the flows of profile 64b follow each other.
  public enum Order: String, CaseIterable, Sendable {
    /// Every flow once, in shuffled order, so that each one occurs; then uniformly at random.
    case random
    case roundRobin = "round-robin"
  }

  public static let packetsRange = 1...1_000_000_000
  public static let flowsRange = 1...1_048_576
  public static let durationRange = 0.000_001...86_400.0
  public static let popularityRange = 0.0...3.0

  /// Packets in the file.
  public var packets = 100_000
  /// Flows, both directions of a connection being one; ARP and LLDP come on top. At most `packets`.
  /// nil: one for every 50 packets, at most 1,000.
  public var flows: Int?
  public var seed: UInt64 = 1
  /// From the first packet to the last, in seconds: the arrivals are Poisson and end at or shortly before it.
  public var duration = 10.0
  public var profile = Profile.imix
  /// Profile 64b only.
  public var order = Order.random
  /// Zipf's exponent of the flows' popularity, profile imix only. 0: equally popular; 1: Zipf's law.
  public var popularity = 1.0

  public init() {}

  public init(
    packets: Int, flows: Int? = nil, seed: UInt64 = 1, duration: Double = 10, profile: Profile = .imix,
    order: Order = .random, popularity: Double = 1
  ) {
    self.packets = packets
    self.flows = flows
    self.seed = seed
    self.duration = duration
    self.profile = profile
    self.order = order
    self.popularity = popularity
  }

  /// `flows`, or what stands for it.
  public var effectiveFlows: Int { flows ?? max(1, min(1_000, packets / 50)) }

  /// Throws the first thing that is wrong, as one line.
  public func validate() throws(CaptureError) {
    guard Self.packetsRange.contains(packets) else {
      throw .invalidOption(name: "--packets", value: "\(packets)", expected: "1 to 1,000,000,000")
    }
    guard Self.flowsRange.contains(effectiveFlows) else {
      throw .invalidOption(name: "--flows", value: "\(effectiveFlows)", expected: "1 to 1,048,576")
    }
    guard effectiveFlows <= packets else {
      throw .invalidOption(
        name: "--flows", value: "\(effectiveFlows)",
        expected: "at most as many flows as there are packets (--packets \(packets))")
    }
    guard Self.durationRange.contains(duration) else {
      throw .invalidOption(name: "--duration", value: "\(duration)", expected: "0.000001 to 86400 seconds")
    }
    guard Self.popularityRange.contains(popularity) else {
      throw .invalidOption(name: "--popularity", value: "\(popularity)", expected: "0 (all flows alike) to 3")
    }
  }

  var durationNanoseconds: UInt64 { UInt64((duration * 1e9).rounded()) }
}
