import DEFTCore
import DEFTWire
import Foundation
import TestSupport
import Testing

@testable import NetworkFunctions

/// The firewall against the plain model of its rules, verdict by verdict.
@Suite struct FirewallModelTests {
  struct Configuration: CustomStringConvertible, Sendable {
    let inside: [String]
    let midstream: Bool
    var description: String { inside.joined(separator: ",") + (midstream ? " midstream" : "") }

    func firewall() throws -> Firewall { Firewall(inside: try inside.map(CIDR.init(_:)), midstream: midstream) }
    func model() -> FirewallModel { FirewallModel(inside: inside, midstream: midstream) }
  }

  static let privateNetworks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"]
  static let configurations = [
    Configuration(inside: privateNetworks, midstream: false),
    Configuration(inside: privateNetworks, midstream: true),
    // Cuts through the middle of subnets, so that some connections are inside, some outside, some across.
    Configuration(
      inside: ["192.168.1.0/25", "10.0.0.0/9", "128.0.0.0/2", "2001::/17", "fe80::/65", "::/127"], midstream: false),
    Configuration(inside: ["0.0.0.0/0", "::/0"], midstream: true),
  ]

  // MARK: Made-up packets

  /// Few flows, all kinds of packets, steps of time that meet every time-out to the ns; every phase must meet every
  /// segment from both sides.
  @Test(arguments: configurations)
  func agreesOnRandomPackets(configuration: Configuration) throws {
    var random = SeededGenerator(state: 0xdef7)
    var replica = Replica(try configuration.firewall())
    let model = configuration.model()
    let pairs =
      [
        ([10, 0, 0, 1], [192, 0, 2, 1]), ([192, 168, 1, 127], [192, 168, 1, 128]), ([10, 127, 0, 1], [10, 128, 0, 1]),
        ([198, 51, 100, 1], [203, 0, 113, 1]),
        ([0xfd] + Array(repeating: 1, count: 15), [0x20] + Array(repeating: 1, count: 15)),
        ([0xfe, 0x80] + Array(repeating: 0, count: 14), [0xfe, 0x80] + Array(repeating: 0xff, count: 14)),
      ] as [([UInt8], [UInt8])]
    let steps: [UInt64] = [10, 60, 120, 240, 600, 7440].flatMap { s in [s * 1_000_000_000 - 1, s * 1_000_000_000] }
    var time: UInt64 = 1_700_000_000_000_000_000
    var seen: Set<[Int]> = []
    var passed = 0
    let count = 120_000
    for number in 0..<count {
      let roll = random.next() % 100
      if roll < 2 {
        time += steps.randomElement(using: &random)!
      } else if roll < 90 {
        time += random.next() % 1_000_000_000
      }  // else the same time
      let stamp = roll == 99 ? time - 70_000_000_000 : time  // another stamping unit's clock
      let pair = pairs.randomElement(using: &random)!
      let port = UInt16(1 + random.next() % 2)
      let ends = [End(address: pair.0, port: port), End(address: pair.1, port: 80)].shuffled(using: &random)
      let frame = FirewallModelTests.randomFrame(ends[0], ends[1], &random)
      let verdict = replica.run(frame, time: stamp) { layout, flow in
        guard layout.transport == .tcp, let segment = TCPTransitions.Segment(flags: frame[layout.transportOffset + 13])
        else { return }
        let isOpener = flow.state.openerIsLower == (layout.sourceIsLower ? 1 : 0)
        seen.insert([Int(flow.state.phase(at: flow.time).rawValue), Int(segment.rawValue), isOpener ? 1 : 0])
      }
      try #require((verdict == .pass) == model.passes(frame, time: stamp), "packet \(number): \(ModelPacket(frame))")
      if verdict == .pass { passed += 1 }
    }
    #expect(seen.count == 8 * 5 * 2, "some phase has not met some segment")
    #expect(passed > count / 10 && passed < count * 95 / 100)
  }

  static func randomFrame(_ from: End, _ to: End, _ random: inout SeededGenerator) -> [UInt8] {
    switch random.next() % 40 {
    case 0: return Frames.udp(from, to)
    case 1: return Frames.icmp(from, to)
    case 2: return Frames.sctp(from, to)
    case 3: return Frames.fragment(from, to, random.next() % 2 == 0 ? 6 : 17)
    case 4: return Frames.ip(from, to, 50, [1, 2, 3])
    case 5:
      return Frames.tcp(from, to, UInt8(truncatingIfNeeded: random.next()), dataOffset: UInt8(random.next() % 16))
    case 6:
      // Cut or damaged anywhere.
      var frame = Frames.tcp(from, to, Frames.ack)
      frame.removeLast(Int(random.next() % UInt64(frame.count)))
      if let index = frame.indices.randomElement(using: &random) {
        frame[index] = UInt8(truncatingIfNeeded: random.next())
      }
      return frame
    case 7...21: return Frames.tcp(from, to, Frames.ack | (random.next() % 2 == 0 ? Frames.psh : 0))
    case 22...29: return Frames.tcp(from, to, Frames.syn)
    case 30...34: return Frames.tcp(from, to, Frames.syn | Frames.ack)
    case 35...37: return Frames.tcp(from, to, Frames.fin | Frames.ack)
    default: return Frames.tcp(from, to, Frames.rst)
    }
  }

  // MARK: Captures

  /// Without an inside set of the default, the model still says what the default is.
  @Test func modelAndDefaultInsideAgree() throws {
    #expect(try FirewallModelTests.privateNetworks.map(CIDR.init(_:)) == Firewall.defaultInside)
  }

  @Test(.enabled(if: !Captures.files.isEmpty, Comment(rawValue: Captures.missing)), arguments: Captures.files)
  func agreesOnCapture(file: URL) throws {
    let frames = try CaptureReader.read(file)
    #expect(!frames.isEmpty)
    for configuration in FirewallModelTests.configurations {
      var replica = Replica(try configuration.firewall())
      let model = configuration.model()
      var passed = 0
      var differences: [String] = []
      for (index, frame) in frames.enumerated() {
        let verdict = replica.run(frame.bytes, time: frame.time)
        if verdict == .pass { passed += 1 }
        if (verdict == .pass) != model.passes(frame.bytes, time: frame.time) {
          differences.append("frame \(index + 1), firewall says \(verdict): \(ModelPacket(frame.bytes))")
        }
      }
      let flowsPassed = replica.flows.values.count { $0.counter > $0.state.dropped }
      #expect(differences.isEmpty, "\(file.lastPathComponent), inside \(configuration): \(differences.prefix(5))")
      if file.lastPathComponent == "mix-ndpi.pcap", configuration.inside != ["0.0.0.0/0", "::/0"] {
        // Many pass and many are dropped, of the packets and of the flows; else the comparison says little.
        let dropped = frames.count - passed
        #expect(
          passed > 10_000 && flowsPassed > 1000, "inside \(configuration): \(passed) passed, \(flowsPassed) flows")
        #expect(dropped > 10_000, "inside \(configuration): \(dropped) dropped")
      }
      if ProcessInfo.processInfo.environment["DEFT_TEST_VERBOSE"] != nil {
        print(
          "\(file.lastPathComponent) inside \(configuration): \(passed) of \(frames.count) passed,",
          "\(flowsPassed) of \(replica.flows.count) flows")
      }
    }
  }
}
