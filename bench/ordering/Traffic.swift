import DEFTCore
import DEFTDataplane
import DEFTWire

/// What the stamper would have done: writes flow ID, counter, time and TCP flags into packets, a chunk at a time, in an order
/// that the seed alone decides. Runs between the timed parts.
struct Traffic: ~Copyable {
  private let layout: FlowIDLayout
  private let flowCount: Int
  private let counters: UnsafeMutablePointer<UInt32>
  /// Share of packets, in 2³² parts, that change places with a later one of their flow.
  private let outOfOrder: UInt64
  private var random: UInt64
  private var time: UInt64 = 1_700_000_000_000_000_000
  private var nextFlow = 0
  private var flows: [Int] = []
  private var exchanges: [(Int, Int)] = []

  init(flows: Int, layout: FlowIDLayout, seed: UInt64, outOfOrder: Double) {
    flowCount = flows
    self.layout = layout
    self.outOfOrder = UInt64(outOfOrder * 0x1p32)
    random = seed
    counters = .allocate(capacity: flows)
    counters.initialize(repeating: Stamp.firstCounter, count: flows)
  }
  deinit { counters.deallocate() }

  /// SplitMix64 (Steele, Lea, Flood 2014).
  private mutating func draw() -> UInt64 {
    random &+= 0x9e37_79b9_7f4a_7c15
    var z = random
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Each flow in turn, so that all are known before anything is timed.
  mutating func stampInTurn(_ packets: UnsafePointer<Packet>, count: Int) {
    for index in 0..<count {
      write(packets[index], flow: nextFlow)
      nextFlow = nextFlow + 1 == flowCount ? 0 : nextFlow + 1
    }
  }

  /// Flows uniformly at random; some packets `outOfOrder` within their flow, a few places apart.
  mutating func stamp(_ packets: UnsafePointer<Packet>, count: Int) {
    flows.removeAll(keepingCapacity: true)
    exchanges.removeAll(keepingCapacity: true)
    for _ in 0..<count { flows.append(Int(draw().multipliedFullWidth(by: UInt64(flowCount)).high)) }
    if outOfOrder > 0 {
      for index in 0..<count where draw() >> 32 < outOfOrder {
        let later = index + 1 + Int(draw() & 7)
        guard later < count else { continue }
        flows[later] = flows[index]
        exchanges.append((index, later))
      }
    }
    for index in 0..<count { write(packets[index], flow: flows[index]) }
    // A later exchange may have given one of the two to another flow.
    for (first, second) in exchanges where packets[first].pointee.flowID == packets[second].pointee.flowID {
      swap(&packets[first].pointee.counter, &packets[second].pointee.counter)
    }
  }

  private mutating func write(_ packet: Packet, flow: Int) {
    let counter = counters[flow]
    counters[flow] = counter &+ 1
    time &+= 30
    packet.pointee = PacketMetadata(
      time: time, flowID: layout.first(unit: 0, slot: flow), counter: counter, layout: PacketMemory.layout)
    let frame = UnsafeMutableRawPointer(mutating: MbufStorage.view(of: packet).frame)
    frame.storeBytes(
      of: UInt8(truncatingIfNeeded: 1 << (time >> 8 & 7)), toByteOffset: PacketMemory.tcpFlagsOffset, as: UInt8.self)
  }
}
