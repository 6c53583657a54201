/// Profile 64b: what a benchmark sends. UDP over IPv4, 60 bytes without FCS, one direction. The payload tells where a
/// packet belongs, so that loss and reordering can be seen in a capture of the output:
/// flow (32 bits) | counter in the flow, from 0 (32 bits) | counter in the file, from 0 (64 bits) | two zero bytes
struct MinimumTraffic {
  private static let payloadLength = 18
  private static let traits = FlowTraits(transport: .udp)

  private let packets: Int
  private let flowCount: Int
  private let order: SampleOptions.Order
  private let addresses: FlowAddresses
  private var random: SeededGenerator

  init(_ options: SampleOptions) {
    packets = options.packets
    flowCount = options.effectiveFlows
    order = options.order
    addresses = FlowAddresses(seed: options.seed)
    random = SeededGenerator(seed: options.seed, stream: 3)
  }

  var flows: SampleSummary.Flows {
    SampleSummary.Flows(total: flowCount, ipv4: flowCount, udp: flowCount)
  }

  mutating func write(to sink: inout SampleSink) throws(CaptureError) {
    var frame = FrameBuilder()
    var counters = [UInt32](repeating: 0, count: flowCount)
    var firstRound = Array(0..<Int32(flowCount))
    if order == .random { random.shuffle(&firstRound, first: flowCount) }
    for packet in 0..<packets {
      let flow =
        switch order {
        case .roundRobin: packet % flowCount
        case .random: packet < flowCount ? Int(firstRound[packet]) : random.below(flowCount)
        }
      let path = addresses.path(flow, Self.traits)
      let counter = counters[flow]
      counters[flow] &+= 1
      frame.beginIP(path, protocolNumber: 17, payloadLength: 8 + Self.payloadLength)
      let payloadSum =
        InternetChecksum.sum(UInt64(flow) << 32 | UInt64(counter)) + InternetChecksum.sum(UInt64(packet))
      frame.appendUDPHeader(path: path, payloadLength: Self.payloadLength, payloadSum: payloadSum)
      frame.append(UInt32(flow))
      frame.append(counter)
      frame.append(UInt64(packet))
      frame.append(0 as UInt16)
      sink.summary.packets.udp += 1
      try sink.append(frame)
    }
  }
}
