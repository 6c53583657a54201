import CDPDK
import Glibc

/// A port of EAL's, by its kind of use.
public enum PortDevice: Sendable, Equatable {
  /// A capture file read by net_pcap; with `preload` it is kept in memory and repeated for ever.
  case captureSource(path: String, preload: Bool)
  /// A capture file written by net_pcap.
  case captureSink(path: String)
  /// net_null: takes everything, gives nothing.
  case discard
  /// A port that EAL found: by name or number.
  case named(String)
}

/// Creates, configures and starts ports, with one line of complaint when one cannot be had.
public struct PortSetup: ~Copyable {
  private var number = 0
  /// Ports started, to be stopped again.
  private var started: [UInt16] = []
  private var created: [String] = []

  public init() {}

  /// The pool for a pipeline: enough buffers that no source ever waits for one.
  public static func poolPackets(_ configuration: PipelineConfiguration, preload: Int, lcores: Int) -> Int {
    let replication = configuration.replication
    let doubles = configuration.duplicate > 0 ? 2 : 1
    let perPair =
      configuration.inputBuffer + replication.pending
      + (replication.isReplicated ? max(replication.retained, replication.held) : replication.batch)
      + 4096  // release ring
      + (configuration.losesPackets ? replication.repairReserve : 0)
    // While one replica is dead its packets are still somewhere, and the next ones wait.
    let roles = configuration.failures.isEmpty ? 1 : 2
    let faults = configuration.stampers * configuration.pairs * 4 * (configuration.reorder + StamperStage.burst)
    let distributor = configuration.stampers > 1 ? configuration.inputBuffer : 0
    // Descriptors of a source and a sink, bursts in hand, and what mempool caches may strand.
    let slack = 8192 + (lcores + 1) * 1024 + configuration.egressHold
    return preload + configuration.pairs * perPair * doubles * roles + faults + distributor + slack
  }

  /// Bytes that EAL needs for such a pool and the rings.
  public static func memory(packets: Int, dataRoom: Int) -> Environment.Memory {
    // mempool and mbuf headers, headroom, alignment.
    let perPacket = (dataRoom + 128 + 128 + 64 + 63) / 64 * 64
    let rest = packets * 16 + (48 << 20)
    // On ordinary pages no buffer crosses a page, so each takes whole pages or an even part of one.
    let perPage = 4096 / perPacket
    let onPages = perPage > 0 ? (packets + perPage - 1) / perPage * 4096 : packets * ((perPacket + 4095) / 4096 * 4096)
    return Environment.Memory(hugepages: packets * perPacket / 100 * 104 + rest, ordinary: onPages / 100 * 104 + rest)
  }

  public static func makePool(packets: Int, dataRoom: Int) throws(DataplaneError) -> OpaquePointer {
    var error: Int32 = 0
    let output = DriverOutput()
    let pool = cd_pool_create("deft_packets", UInt32(packets), 512, UInt32(dataRoom), &error)
    _ = output.end(passOn: pool != nil)
    guard let pool else {
      throw .pool(packets: packets, bytes: dataRoom, reason: String(cString: cd_error_text(error)))
    }
    return pool
  }

  /// The port for `device`, created if need be.
  public mutating func find(_ device: PortDevice) throws(DataplaneError) -> UInt16 {
    switch device {
    case .captureSource(let path, let preload):
      return try create("net_pcap_deft", "rx_pcap=\(path)" + (preload ? ",infinite_rx=1" : ""))
    case .captureSink(let path):
      return try create("net_pcap_deft", "tx_pcap=\(path)")
    case .discard:
      return try create("net_null_deft", "no-rx=1")
    case .named(let name):
      if let number = UInt16(name), cd_port_exists(number) { return number }
      let port = cd_port_by_name(name)
      guard port >= 0 else {
        throw .noSuchPort(name, available: Self.names().filter { !created.contains($0) })
      }
      return UInt16(port)
    }
  }

  private mutating func create(_ prefix: String, _ arguments: String) throws(DataplaneError) -> UInt16 {
    let name = "\(prefix)\(number)"
    number += 1
    let output = DriverOutput()
    let result = cd_device_create(name, arguments)
    let port = cd_port_by_name(name)
    let said = output.end(passOn: result == 0)
    guard result == 0, port >= 0 else {
      let reason = said.isEmpty ? String(cString: cd_error_text(result)) : said
      throw .device(name: name, arguments: arguments, reason: reason)
    }
    created.append(name)
    return UInt16(port)
  }

  static func names() -> [String] {
    (UInt16(0)..<32).filter { cd_port_exists($0) }.map { name($0) }
  }
  static func name(_ port: UInt16) -> String {
    var buffer = [CChar](repeating: 0, count: 64)
    guard cd_port_name(port, &buffer, 64) == 0 else { return "port \(port)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Whether the port can spread packets over `queues` receive queues by flow.
  public static func spreadsByFlow(_ port: UInt16, queues: Int) -> Bool {
    var limits = cd_port_limits()
    guard queues > 1, cd_port_limits(port, &limits) == 0 else { return false }
    return limits.rss && Int(limits.max_rx_queues) >= queues
  }

  /// Configures and starts the port, and waits up to two seconds for its link.
  public mutating func start(_ port: UInt16, rxQueues: Int, pool: OpaquePointer) throws(DataplaneError) {
    guard !started.contains(port) else { return }
    var step: Int32 = 0
    let output = DriverOutput()
    let result = cd_port_start(port, UInt16(rxQueues), 1, pool, &step)
    let said = output.end(passOn: result == 0)
    let name = Self.name(port)
    guard result == 0 else {
      let reason = said.isEmpty ? String(cString: cd_error_text(result)) : said
      let steps = ["", "be configured", "set up its receive queue", "set up its transmit queue", "start"]
      throw .portStep(name: name, step: steps[Int(step)], reason: reason)
    }
    started.append(port)
    for _ in 0..<200 {
      if cd_port_link_up(port) { return }
      cd_sleep_us(10_000)
    }
    throw .noLink(name: name)
  }

  /// Bytes of the pcap file that a capture sink has written, if every write succeeded: net_pcap itself does not look.
  public static func captureBytes(_ port: UInt16) -> UInt64? {
    var counters = cd_port_counters()
    guard cd_port_counters(port, &counters) == 0 else { return nil }
    return 24 + 16 * counters.tx_packets + counters.tx_bytes
  }

  /// Stops every port that was started and removes every device that was created: files are closed and complete afterwards.
  public mutating func stopAll() {
    for port in started { cd_port_stop(port) }
    started = []
    for name in created { _ = cd_device_remove(name) }
    created = []
  }
}
