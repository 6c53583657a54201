import ArgumentParser
import NetworkFunctions

struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Sends a capture, or a port's traffic, through stamper, switch, replicated NF and egress.",
    usage: "deft replay [<EAL arguments> --] <in> <out> [options]",
    discussion: """
      <in> is a capture or port:NAME; <out> is a capture, port:NAME or none. Any DPDK port can take the place of a capture:
        deft replay -l 0,1 -a 0000:03:00.0 -a 0000:03:00.1 -- port:0000:03:00.0 port:0000:03:00.1 --nf firewall --busy-poll
        deft replay --vdev net_af_packet0,iface=eth1 -- port:net_af_packet0 none --duration 10s
      EAL arguments stand before '--'. Without them one worker lcore is used, hugepages if enough are free, no PCI device.
      The exit status is 1 when a property was violated, 64 for bad arguments.
      """)

  @Argument(help: "Capture to read, or port:NAME.", completion: .file(extensions: ["pcap"]))
  var input: Endpoint
  @Argument(help: "Capture to write, port:NAME, or none.", completion: .file(extensions: ["pcap"]))
  var output: Endpoint

  @Option(help: "Network function; 'deft list' shows them.")
  var nf = "monitor"
  @Option(help: "Protected networks of the firewall, CIDRs separated by commas.")
  var inside: String?
  @Flag(help: "Firewall: a TCP connection may begin in the middle, from inside.")
  var midstream = false

  @Option(help: "Replicated NF pairs (1…64); flow groups are spread over them.")
  var pairs = 1
  @Option(help: "Stamping units (1…16).")
  var stampers = 1
  @Option(help: "Packets in a batch (1…8192).")
  var batch = 256
  @Option(
    help:
      "Batches in flight at most (1…256); 1 is the paper's stop and wait. (default: 8; 16 where lcores and control threads share CPUs, and a round trip takes longer)"
  )
  var window: Int?
  @Option(name: .customLong("flush-interval"), help: "A batch is closed after this time even if it is not full.")
  var flushInterval = TimeSpan(nanoseconds: 50_000)
  @Option(
    name: .customLong("state-clock"),
    help: "Packets after which the state goes to the secondary (1…8192); 1: with every batch.")
  var stateClock: Int?
  @Option(help: "Input buffer of a pair, packets (1…1048576).")
  var buffer = 4096
  @Option(help: "Packets per second (k, M), or max: as fast as the pipeline takes them, none dropped.")
  var rate = PacketRate.max
  @Option(help: "Times the capture is sent; 0: until --duration or Ctrl-C.")
  var loop: UInt64 = 1
  @Option(help: "Stop after this time.")
  var duration: TimeSpan?
  @Option(help: "Replicate to a secondary: on or off.")
  var replication = OnOff.on
  @Option(name: .customLong("stamped-out"), help: "Also write every stamped packet (NSH) to this capture.")
  var stampedOut: String?
  @Option(help: "Shuffle packets within blocks of this many on the ways to both replicas (0…4096).")
  var reorder = 0
  @Option(help: "Probability that a packet is doubled on its way to a replica (0…1).")
  var duplicate = 0.0
  @Option(help: "Probability that a packet is destroyed on its way to a replica, each way by itself (0…1).")
  var loss = 0.0
  @Option(
    name: .customLong("gap-timeout"),
    help: "After this time a missing packet is asked of the other replica (0: never).")
  var gapTimeout = TimeSpan(nanoseconds: 1_000_000)
  @Option(
    name: .customLong("fail-primary-at"),
    help: "Kill a primary when so many packets have been stamped: N[,N…]. The pairs take turns.")
  var failPrimaryAt = PacketNumbers()
  @Option(
    name: .customLong("fail-secondary-at"),
    help: "Kill a secondary when so many packets have been stamped: N[,N…]. The pairs take turns.")
  var failSecondaryAt = PacketNumbers()
  @Option(
    name: .customLong("fail-pair-at"),
    help: "Kill both replicas of a pair when so many packets have been stamped: N[,N…]. Its flows' states are lost.")
  var failPairAt = PacketNumbers()
  @Option(
    help: ArgumentHelp(
      "Move all flow groups of one pair to another when so many packets have been stamped: FROM:TO@PACKET[,…].",
      valueName: "from:to@packet"))
  var migrate = Migrations()
  @Option(help: "What a primary does while no secondary is in sync: hold its packets, or release them unprotected.")
  var unprotected = Unprotected.hold
  @Option(name: .customLong("failure-detection"), help: "How long a planned failure goes unnoticed.")
  var failureDetection = TimeSpan(nanoseconds: 1_000_000)
  @Option(help: "Seed of faults and hashes.")
  var seed: UInt64 = 1
  @Option(help: "Flows per stamping unit at most; rounded up.")
  var flows = 196_608
  @Option(name: .customLong("idle-timeout"), help: "A flow without packets for this long ends.")
  var idleTimeout = TimeSpan(nanoseconds: 60_000_000_000)
  @Option(help: "Stamp time: the wall clock, or the capture's own (wall, capture).")
  var clock = StampClock.wall
  @Flag(name: .customLong("busy-poll"), help: "Never give an idle lcore's CPU away: for hosts with cores to spare.")
  var busyPoll = false
  @Option(help: "Write the summary as JSON to this file, or - for standard output.")
  var json: String?
  @Flag(help: "No live table.")
  var quiet = false

  func validate() throws {
    func check<T: Comparable>(_ name: String, _ value: T, _ range: ClosedRange<T>) throws {
      guard range.contains(value) else {
        throw ValidationError("--\(name) \(value) is out of range: \(range.lowerBound)…\(range.upperBound)")
      }
    }
    guard NetworkFunctionKind(rawValue: nf) != nil else {
      throw ValidationError(
        "no network function named '\(nf)'; there are: \(NetworkFunctionKind.allCases.map(\.rawValue).joined(separator: ", "))"
      )
    }
    try check("pairs", pairs, 1...64)
    try check("stampers", stampers, 1...16)
    try check("batch", batch, 1...8192)
    if let window { try check("window", window, 1...256) }
    try check("buffer", buffer, 1...1 << 20)
    try check("flush-interval", flushInterval.nanoseconds, 1000...10_000_000_000)
    if let stateClock { try check("state-clock", stateClock, 1...8192) }
    try check("reorder", reorder, 0...4096)
    try check("duplicate", duplicate, 0...1)
    try check("loss", loss, 0...1)
    try check("gap-timeout", gapTimeout.nanoseconds, 0...10_000_000_000)
    try check("flows", flows, 1...6_291_456)
    try check("idle-timeout", idleTimeout.nanoseconds, 1_000_000...3_600_000_000_000)
    try check("failure-detection", failureDetection.nanoseconds, 0...1_000_000_000)
    let failures =
      failPrimaryAt.packets + failSecondaryAt.packets + failPairAt.packets + migrate.all.map(\.packet)
    guard failures.count <= 64 else {
      throw ValidationError("\(failures.count) planned failures and migrations: use at most 64")
    }
    guard Set(failures).count == failures.count else {
      throw ValidationError("--fail-…-at and --migrate name the same packet: use different ones")
    }
    if !failures.isEmpty, replication == .off {
      throw ValidationError("--fail-…-at and --migrate need --replication on")
    }
    if !failPairAt.packets.isEmpty, !migrate.all.isEmpty {
      throw ValidationError("--fail-pair-at and --migrate do not go together: use one of them")
    }
    for migration in migrate.all where max(migration.source, migration.target) >= pairs {
      throw ValidationError(
        "--migrate \(migration.source):\(migration.target)@\(migration.packet): pairs are numbered 0…\(pairs - 1); see --pairs"
      )
    }
    guard buffer >= stampers else {
      throw ValidationError("--buffer \(buffer) leaves nothing for each of \(stampers) stampers")
    }
    if case .none = input { throw ValidationError("the input is a capture or port:NAME, not 'none'") }
    if case .port = input, loop != 1 {
      throw ValidationError("--loop is for captures; a port is read until --duration or Ctrl-C")
    }
    if clock == .capture {
      guard case .file = input, loop == 1, rate == .max else {
        throw ValidationError("--clock capture needs a capture as input, --loop 1 and --rate max")
      }
    }
    if nf != NetworkFunctionKind.firewall.rawValue, inside != nil || midstream {
      throw ValidationError("--inside and --midstream are options of --nf firewall")
    }
    _ = try insideNetworks()
  }

  /// The networks of `--inside`, the default ones if it is not given.
  func insideNetworks() throws -> [CIDR] {
    guard let inside else { return Firewall.defaultInside }
    do {
      return try inside.split(separator: ",", omittingEmptySubsequences: false).map { try CIDR(String($0)) }
    } catch {
      throw ValidationError("--inside: \(error)")
    }
  }

  func run() throws {
    let kind = NetworkFunctionKind(rawValue: nf)!
    let status =
      switch kind {
      case .monitor: try ReplaySession(self, function: Monitor()).run()
      case .firewall:
        try ReplaySession(self, function: Firewall(inside: try insideNetworks(), midstream: midstream)).run()
      }
    if status != 0 { throw ExitCode(status) }
  }
}
