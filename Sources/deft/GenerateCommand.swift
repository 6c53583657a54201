import ArgumentParser
import DEFTCapture
import Foundation

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Writes a sample capture: the same seed and options always give the same file.",
    discussion: """
      imix: IMIX frame sizes, Zipf-distributed flows, TCP with handshakes and teardowns, UDP, ICMP, IPv4, IPv6, VLAN and QinQ
      tags, fragments, ARP and LLDP; a few connections come unasked from outside.
      64b: smallest UDP frames over exactly --flows flows, for benchmarks.
      """)

  @Argument(help: "The capture to write.", completion: .file(extensions: ["pcap"]))
  var output: String
  @Option(help: "Packets to write (\(SampleOptions.packetsRange.lowerBound)…\(SampleOptions.packetsRange.upperBound)).")
  var packets = 100_000
  @Option(help: "Flows; by default one for every 50 packets, at most 1000.")
  var flows: Int?
  @Option(help: "Seed.")
  var seed: UInt64 = 1
  @Option(help: "Span of the timestamps, with a unit (ns, us, ms, s, m).")
  var duration = TimeSpan(nanoseconds: 10_000_000_000)
  @Option(help: "Kind of traffic: \(SampleOptions.Profile.allCases.map(\.rawValue).joined(separator: ", ")).")
  var profile = SampleOptions.Profile.imix
  @Option(help: "Order of flows with 64b: \(SampleOptions.Order.allCases.map(\.rawValue).joined(separator: ", ")).")
  var order = SampleOptions.Order.random
  @Flag(help: "Print nothing but errors.")
  var quiet = false

  func run() throws {
    let options = SampleOptions(
      packets: packets, flows: flows, seed: seed, duration: Double(duration.nanoseconds) / 1e9, profile: profile,
      order: order)
    let showsProgress = !quiet && isatty(STDERR_FILENO) == 1
    do {
      let summary = try SampleGenerator.generate(to: output, options: options) { done, total in
        if showsProgress { Terminal.error.write("\rwriting \(done * 100 / max(1, total)) %") }
      }
      if showsProgress { Terminal.error.write("\r\u{1b}[K") }
      guard !quiet else { return }
      print(
        "\(output): \(summary.packets.total) packets, \(summary.bytes) bytes, \(summary.flows.total) flows (\(summary.flows.tcp) TCP, \(summary.flows.udp) UDP, \(summary.flows.icmp) ICMP; \(summary.flows.ipv6) IPv6, \(summary.flows.vlan) VLAN, \(summary.flows.qinq) QinQ), seed \(seed)"
      )
    } catch {
      throw CommandFailure(error.description)
    }
  }
}

extension SampleOptions.Profile: ExpressibleByArgument {}
extension SampleOptions.Order: ExpressibleByArgument {}
