import DEFTCapture
import DEFTCore
import DEFTDataplane
import DEFTMailbox
import Foundation
import Synchronization

/// One `deft replay`: checks the files, starts EAL and the ports, joins data plane and control plane, watches the run, and
/// says how it went. Options and wiring only.
struct ReplaySession<Function: NetworkFunction> {
  private let options: ReplayCommand
  private let function: Function
  private let terminal = Terminal.error

  init(_ options: ReplayCommand, function: Function) {
    self.options = options
    self.function = function
  }

  private var stateSize: Int { MemoryLayout<Function.State>.size }

  /// Exit status: 0, or 1 when a property was violated.
  func run() throws -> Int32 {
    do {
      return try runChecked()
    } catch let error as CaptureError {
      throw CommandFailure(error.description)
    } catch let error as DataplaneError {
      throw CommandFailure(error.description)
    }
  }

  private func runChecked() throws -> Int32 {
    var configuration = pipelineConfiguration()
    if let defect = configuration.defect(stateSize: stateSize) { throw CommandFailure(defect) }
    let source = try sourcePlan()
    try DistinctFiles.check(namedFiles())
    guard var links = DeviceLinks() else {
      throw CommandFailure("cannot make a temporary directory; set TMPDIR to one that is writable")
    }

    // Outputs get their names only when they are complete.
    let output = try pendingOutput(options.output)
    let stampedOutput = try options.stampedOut.map { path in try PendingOutput(path) }
    let jsonOutput = try options.json.flatMap { path in path == "-" ? nil : try PendingOutput(path) }
    defer {
      output?.discard()
      stampedOutput?.discard()
      jsonOutput?.discard()
    }

    let preload = source.preload ? source.packets : 0
    let poolPackets = PortSetup.poolPackets(configuration, preload: preload, lcores: 8)
    let environment = try Environment(
      user: EALArguments.given,
      memory: PortSetup.memory(packets: poolPackets, dataRoom: source.dataRoom))
    let pool = try PortSetup.makePool(packets: poolPackets, dataRoom: source.dataRoom)
    // What a window holds more than a round trip takes is only latency.
    if options.window == nil, environment.ownsControlCPUs { configuration.replication.window = 8 }
    if environment.lcores.count == 1 || options.stampedOut == nil { configuration.busyPoll = options.busyPoll }

    var ports = PortSetup()
    defer { ports.stopAll() }
    let pipelinePorts: PipelinePorts
    do {
      pipelinePorts = try openPorts(
        &ports, &links, source: source, pool: pool, output: output?.temporaryPath,
        stamped: stampedOutput?.temporaryPath)
    } catch let error as DataplaneError where !environment.warnings.isEmpty {
      throw CommandFailure("\(error) (EAL: \(environment.warnings))")
    }
    if !environment.warnings.isEmpty { terminal.write("EAL: \(environment.warnings)\n") }
    let control = try ControlPlane(
      configuration: configuration, networkFunction: Function.name, stateSize: stateSize, environment: environment)
    defer { control.stop() }

    let pipeline = try Pipeline(
      function: function, configuration: configuration, ports: pipelinePorts, lcores: environment.lcores,
      isMainLcore: environment.isMainLcore, sharesCPU: environment.lcores.indices.map { environment.sharesCPU($0) },
      mailboxes: control.mailboxes, links: control)
    pipeline.bindLcores()
    Telemetry.publish(pipeline)
    announce(environment, source: source, poolPackets: poolPackets)

    let watch = RunWatch(
      pipeline: pipeline, duration: options.duration.map { Double($0.nanoseconds) / 1e9 },
      table: options.quiet ? nil : LiveTable(cyclesPerSecond: LcoreClock().cyclesPerSecond))
    let outcome = try watch.run(
      pinningWatcher: { environment.pinWatchingThread() }, pinningDirector: { environment.pinControlThread() })

    let report = pipeline.finalReport(drained: outcome.drained)
    let summary = ReplaySummary(
      report, networkFunction: Function.name, replication: options.replication == .on,
      hugepages: environment.usesHugepages, elapsed: outcome.elapsed,
      cyclesPerSecond: Double(LcoreClock().cyclesPerSecond), measuresLatency: options.clock == .wall,
      control: control.summary)
    control.stop()
    let outputBytes = PortSetup.captureBytes(pipelinePorts.sink)
    let stampedBytes = pipelinePorts.mirror.flatMap { PortSetup.captureBytes($0) }
    ports.stopAll()
    try output?.checkComplete(bytes: outputBytes)
    try stampedOutput?.checkComplete(bytes: stampedBytes)
    try output?.publish()
    try stampedOutput?.publish()
    try write(summary, to: jsonOutput)
    return report.violations.isEmpty ? 0 : 1
  }

  // MARK: plans

  private struct SourcePlan {
    var device: PortDevice
    /// Packets in the capture; 0 for a port.
    var packets = 0
    /// Packets to receive in all.
    var limit: UInt64 = .max
    var preload = false
    /// Bytes per buffer, headroom aside.
    var dataRoom = 2048
    /// Buffer lengths have 16 bits, headroom included.
    static var longestFrame: Int { 65_280 }
    var isCapture: Bool { packets > 0 }
  }

  private func sourcePlan() throws -> SourcePlan {
    switch options.input {
    case .none: throw CommandFailure("the input is a capture or port:NAME, not 'none'")
    case .port(let name): return SourcePlan(device: .named(name))
    case .file(let path):
      let summary = try CaptureFile.inspect(path)
      var plan = SourcePlan(device: .captureSource(path: path, preload: false), packets: summary.packets)
      if options.loop > 0 {
        plan.limit = UInt64(summary.packets).multipliedReportingOverflow(by: options.loop).partialValue
      }
      if options.loop == 0 { plan.limit = .max }
      // A file is read at a few Mpps; what is to be faster, or repeated, is read ahead into memory.
      plan.preload = options.loop != 1 || options.rate != .max
      // Of a frame that lies in several buffers net_pcap writes no more than 16,128 bytes, the stamp among them.
      let isLong = summary.largestFrame > 16_000
      // A frame that is kept in memory lies in one buffer, too. No longer than the frames ask for: the closer together the
      // packets in flight lie, the fewer pages they touch.
      if plan.preload || isLong { plan.dataRoom = max(256, (summary.largestFrame + 63) & ~63) }
      guard summary.largestFrame <= SourcePlan.longestFrame else {
        throw CommandFailure(
          "\(path): a frame of \(summary.largestFrame) bytes is longer than \(SourcePlan.longestFrame), the most that a packet buffer holds; leave it out, or capture without segmentation offload"
        )
      }
      if plan.preload {
        let bytes = summary.packets * plan.dataRoom
        guard bytes <= 4 << 30 else {
          throw CommandFailure(
            "\(path): \(summary.packets) packets of up to \(summary.largestFrame) bytes are too many to keep in memory for --loop or --rate; use a shorter capture"
          )
        }
      }
      return plan
    }
  }

  private func namedFiles() -> [(name: String, path: String)] {
    var files: [(name: String, path: String)] = []
    if case .file(let path) = options.input { files.append(("the input", path)) }
    if case .file(let path) = options.output { files.append(("the output", path)) }
    if let path = options.stampedOut { files.append(("--stamped-out", path)) }
    if let path = options.json, path != "-" { files.append(("--json", path)) }
    return files
  }

  private func pendingOutput(_ endpoint: Endpoint) throws -> PendingOutput? {
    guard case .file(let path) = endpoint else { return nil }
    return try PendingOutput(path)
  }

  private func openPorts(
    _ ports: inout PortSetup, _ links: inout DeviceLinks, source: SourcePlan, pool: OpaquePointer, output: String?,
    stamped: String?
  ) throws -> PipelinePorts {
    var sourceDevice = source.device
    if case .captureSource(let path, _) = source.device {
      sourceDevice = .captureSource(path: links.plainPath(for: path), preload: source.preload)
    }
    let sinkDevice: PortDevice =
      switch options.output {
      case .none: .discard
      case .port(let name): .named(name)
      case .file: .captureSink(path: links.plainPath(for: output!))
      }
    let sourcePort = try ports.find(sourceDevice)
    let sinkPort = try ports.find(sinkDevice)
    let spreads = PortSetup.spreadsByFlow(sourcePort, queues: options.stampers)
    try ports.start(sourcePort, rxQueues: spreads ? options.stampers : 1, pool: pool)
    try ports.start(sinkPort, rxQueues: 1, pool: pool)
    var mirror: UInt16?
    if let stamped {
      let port = try ports.find(.captureSink(path: links.plainPath(for: stamped)))
      try ports.start(port, rxQueues: 1, pool: pool)
      mirror = port
    }
    let pace: PacketSource.Pace =
      switch options.rate {
      case .max: source.isCapture ? .asTaken : .asDelivered
      case .perSecond(let rate): .rate(rate)
      }
    return PipelinePorts(
      source: sourcePort, sink: sinkPort, mirror: mirror, pool: pool, pace: pace, limit: source.limit,
      usesCaptureTime: options.clock == .capture, spreadsByFlow: spreads,
      preloaded: source.isCapture ? UInt32(source.preload ? source.packets : 0) : nil)
  }

  private func pipelineConfiguration() -> PipelineConfiguration {
    func powerOfTwo(atLeast value: Int) -> Int {
      var power = 1
      while power < value { power *= 2 }
      return power
    }
    var configuration = PipelineConfiguration()
    configuration.pairs = options.pairs
    configuration.stampers = options.stampers
    configuration.inputBuffer = options.buffer
    configuration.flowSlots = powerOfTwo(atLeast: max(1024, (options.flows * 4 + 2) / 3))
    configuration.idleTimeout = options.idleTimeout.nanoseconds
    configuration.seed = options.seed
    configuration.reorder = options.reorder
    configuration.duplicate = options.duplicate
    configuration.loss = options.loss
    configuration.replication.gapTimeout = options.gapTimeout.nanoseconds
    let failures =
      options.failPrimaryAt.packets.map { (packet: $0, victim: PlannedFailure.Victim.primary) }
      + options.failSecondaryAt.packets.map { (packet: $0, victim: .secondary) }
      + options.failPairAt.packets.map { (packet: $0, victim: .pair) }
    configuration.failures = failures.sorted { $0.packet < $1.packet }.enumerated().map { index, failure in
      PlannedFailure(failure.victim, at: failure.packet, pair: index % options.pairs)
    }
    configuration.migrations = options.migrate.all.map {
      PlannedMigration(from: $0.source, to: $0.target, at: $0.packet)
    }
    configuration.detection = options.failureDetection.nanoseconds
    configuration.busyPoll = options.busyPoll
    configuration.measuresLatency = options.clock == .wall

    // The paper sends the state with every batch; with a window, once in a while is enough.
    let window = options.window ?? 16
    let stateClock = options.stateClock ?? (window == 1 ? 1 : 4096)
    var replication = ReplicationConfiguration()
    replication.batch = options.batch
    replication.window = window
    replication.policy = options.unprotected == .hold ? .hold : .release
    replication.flushInterval = options.flushInterval.nanoseconds
    replication.dryWindow = min(window, 4)
    replication.stateClockPackets = stateClock
    // Behind one missing packet may lie all that the input buffer and the paths hold: credit stops the stampers before
    // that, so no pendingList runs over (R17).
    replication.pending = PipelineConfiguration.pending(
      inputBuffer: options.buffer, reorder: options.reorder, stampers: options.stampers)
    replication.pendingPerFlow = replication.pending
    let wanted = 2 * stateClock + window * options.batch + 2 * (options.batch + replication.pendingPerFlow)
    replication.retained = min(131_072, powerOfTwo(atLeast: wanted))
    let uncommitted =
      options.buffer + replication.pending + replication.retained + 8 * options.stampers * (options.reorder + 64)
    replication.held = powerOfTwo(atLeast: uncommitted / 3 * 4 + 4)
    replication.isReplicated = options.replication == .on
    configuration.replication = replication
    return configuration
  }

  // MARK: what the user sees

  private func announce(_ environment: Environment, source: SourcePlan, poolPackets: Int) {
    guard !options.quiet else { return }
    terminal.write(
      "\(Function.name), \(options.pairs) pair(s), replication \(options.replication.rawValue); \(environment.usesHugepages ? "hugepages" : "no hugepages (slower; README says how to get them)"), lcores \(environment.lcores.map(String.init).joined(separator: ",")), pool of \(poolPackets) buffers\n"
    )
  }

  private func write(_ summary: ReplaySummary, to file: PendingOutput?) throws {
    if options.json == "-" {
      Terminal.output.write(String(decoding: try summary.json, as: UTF8.self))
    } else {
      Terminal.output.write(summary.text)
    }
    if let file {
      do {
        try summary.json.write(to: URL(fileURLWithPath: file.temporaryPath))
      } catch let error as CocoaError {
        let reason = (error.underlying ?? error).localizedDescription
        throw CaptureError.writeFailed(path: file.path, reason: reason)
      }
      try file.publish()
    }
  }
}
