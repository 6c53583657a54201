/// Writes sample captures: `deft generate`.
public enum SampleGenerator {
  /// 2025-01-01 00:00:00 UTC in ns; the first packet's time.
  static let startTime: UInt64 = 1_735_689_600_000_000_000

  /// Packets between two calls of the progress callback.
  public static let progressInterval = 65_536

  /// Writes the capture that `options` describe to `path`. Packets are streamed; memory grows with the flows only (about
  /// 100 bytes each). `path` is replaced when the file is complete; after an error it is what it was before.
  /// - Parameter progress: called with (packets written, packets in all) every `progressInterval` packets and at the end.
  public static func generate(
    to path: String, options: SampleOptions, progress: ((Int, Int) -> Void)? = nil
  ) throws(CaptureError) -> SampleSummary {
    try options.validate()
    let output = try PendingOutput(path)
    let summary: SampleSummary
    do {
      var sink = try SampleSink(path: output.temporaryPath, options: options, progress: progress)
      switch options.profile {
      case .imix:
        var traffic = MixedTraffic(options)
        try traffic.write(to: &sink)
        sink.summary.flows = traffic.flows
      case .minimum:
        var traffic = MinimumTraffic(options)
        try traffic.write(to: &sink)
        sink.summary.flows = traffic.flows
      }
      summary = try sink.finish()
    } catch {
      // The user knows the name that was asked for, not the temporary one.
      if case .writeFailed(_, let reason) = error { throw .writeFailed(path: path, reason: reason) }
      throw error
    }
    try output.publish()
    return summary
  }
}

/// Where both profiles put their frames: gives each its time, writes and counts it.
struct SampleSink: ~Copyable {
  var summary = SampleSummary()
  private var writer: CaptureWriter
  private var clock: ArrivalClock
  private let total: Int
  private let progress: ((Int, Int) -> Void)?

  init(path: String, options: SampleOptions, progress: ((Int, Int) -> Void)?) throws(CaptureError) {
    writer = try CaptureWriter(path)
    clock = ArrivalClock(packets: options.packets, duration: options.durationNanoseconds, seed: options.seed)
    total = options.packets
    self.progress = progress
  }

  mutating func append(_ frame: borrowing FrameBuilder) throws(CaptureError) {
    let time = clock.next()
    try writer.append(frame.bytes, count: frame.count, time: SampleGenerator.startTime + time)
    summary.packets.total += 1
    summary.bytes += UInt64(frame.count)
    summary.durationNanoseconds = time
    if let progress, summary.packets.total % SampleGenerator.progressInterval == 0, summary.packets.total < total {
      progress(summary.packets.total, total)
    }
  }

  mutating func finish() throws(CaptureError) -> SampleSummary {
    precondition(summary.packets.total == total, "the traffic has another number of packets than was asked for")
    try writer.finish()
    summary.fileBytes = writer.fileBytes
    progress?(total, total)
    return summary
  }
}
