import Foundation

/// The yardstick: dpdk-testpmd, one forwarding lcore that swaps MAC addresses, from net_pcap's memory to net_null, as deft
/// reads and discards.
struct Testpmd {
  private let path: String
  let hugepages: Bool
  let seconds: Double
  /// Before the first reading.
  let warmUp: Double

  /// nil: not installed.
  init?(hugepages: Bool, seconds: Double, warmUp: Double) {
    guard let path = ChildProcess.find("dpdk-testpmd") else { return nil }
    self.path = path
    self.hugepages = hugepages
    self.seconds = seconds
    self.warmUp = warmUp
  }

  func megapacketsPerSecond(_ input: Input) throws -> Double {
    // net_pcap keeps the whole capture in mbufs; a frame that does not fit into one stalls it without a word.
    let buffers = input.packets + 16_384
    let bufferBytes = max(2048, (input.largestFrame + 63) & ~63) + 128
    let megabytes = max(256, (buffers * (bufferBytes + 256)) >> 20 + 64)
    let cpus = Machine.cpus
    let output = try ChildProcess(
      path: path,
      arguments: [
        "--lcores", "0@\(cpus[0]),1@\(cpus.count > 1 ? cpus[1] : cpus[0])", "--no-pci",
        hugepages ? "--in-memory" : "--no-huge", "-m", "\(megabytes)",
        "--file-prefix", "deft-bench-\(ProcessInfo.processInfo.processIdentifier)", "--log-level", "error",
        "--vdev", "net_pcap0,rx_pcap=\(input.path),infinite_rx=1", "--vdev", "net_null0,no-rx=1", "--",
        "-i", "--forward-mode=macswap", "--auto-start", "--total-num-mbufs=\(buffers)", "--mbuf-size=\(bufferBytes)",
      ]
    ).run(script: [
      // Packets per second are over the time since the reading before.
      (Testpmd.start + warmUp, "show port stats all"), (seconds, "show port stats all"), (0, "quit"),
    ])
    let readings = output.split(separator: "\n").filter { $0.contains("Rx-pps:") }.compactMap(Testpmd.rate)
    // Two ports a reading; the second port receives nothing.
    guard readings.count == 4, readings[2] > 0 else {
      throw BenchFailure("dpdk-testpmd forwarded nothing on \(input.name)")
    }
    return readings[2] / 1e6
  }

  /// Seconds until it forwards.
  private static let start = 1.0

  /// `  Rx-pps:     81234567          Rx-bps: …`
  private static func rate(_ line: Substring) -> Double? {
    let words = line.split(separator: " ")
    guard let label = words.firstIndex(of: "Rx-pps:"), label + 1 < words.count else { return nil }
    return Double(words[label + 1])
  }
}
