/// Builds frames, and runs an NF as a replica does.
import DEFTCore
import DEFTWire
import NetworkFunctions

/// One end of a flow. Addresses of 4 bytes are IPv4, of 16 IPv6.
struct End: Equatable {
  var address: [UInt8]
  var port: UInt16 = 0
}

enum Frames {
  static let fin: UInt8 = 1, syn: UInt8 = 2, rst: UInt8 = 4, psh: UInt8 = 8, ack: UInt8 = 16

  static func tcp(_ from: End, _ to: End, _ flags: UInt8, dataOffset: UInt8 = 5) -> [UInt8] {
    let header = pair(from.port) + pair(to.port) + [0, 0, 0, 0, 0, 0, 0, 0, dataOffset << 4, flags, 0, 0, 0, 0, 0, 0]
    return ip(from, to, 6, header)
  }

  static func udp(_ from: End, _ to: End) -> [UInt8] {
    ip(from, to, 17, pair(from.port) + pair(to.port) + [0, 8, 0, 0])
  }

  static func icmp(_ from: End, _ to: End) -> [UInt8] {
    ip(from, to, from.address.count == 4 ? 1 : 58, [8, 0, 0, 0, 0, 1, 0, 1])
  }

  static func sctp(_ from: End, _ to: End) -> [UInt8] {
    ip(from, to, 132, pair(from.port) + pair(to.port) + [0, 0, 0, 1, 0, 0, 0, 0])
  }

  /// A middle fragment.
  static func fragment(_ from: End, _ to: End, _ ipProtocol: UInt8) -> [UInt8] {
    let payload = [UInt8](repeating: 0, count: 16)
    if from.address.count == 4 { return ip(from, to, ipProtocol, payload, fragment: 0x2001) }
    return ip(from, to, 44, [ipProtocol, 0, 0, 9, 0, 0, 0, 1] + payload)
  }

  static func ip(_ from: End, _ to: End, _ ipProtocol: UInt8, _ payload: [UInt8], fragment: UInt16 = 0) -> [UInt8] {
    if from.address.count == 4 {
      let header = [0x45, 0] + pair(UInt16(20 + payload.count)) + [0, 1] + pair(fragment) + [64, ipProtocol, 0, 0]
      return ethernet(0x0800, header + from.address + to.address + payload)
    }
    let header = [0x60, 0, 0, 0] + pair(UInt16(payload.count)) + [ipProtocol, 64]
    return ethernet(0x86dd, header + from.address + to.address + payload)
  }

  static func ethernet(_ type: UInt16, _ payload: [UInt8], tags: Int = 0) -> [UInt8] {
    let addresses: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
    return addresses + (0..<tags).flatMap { _ in [0x81, 0, 0, 7] as [UInt8] } + pair(type) + payload
  }

  static func pair(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
}

/// An NF with the states of its flows: parse, look up, flow time (R19), process.
struct Replica<Function: NetworkFunction> {
  struct Flow {
    var state = Function.initialState
    var time: UInt64 = 0
    var counter: UInt32 = 0
  }

  let function: Function
  private(set) var flows: [[UInt64]: Flow] = [:]

  init(_ function: Function) { self.function = function }

  /// - Parameter inspect: sees the frame's layout and the flow as it is for this packet, before it is processed.
  mutating func run(_ frame: [UInt8], time: UInt64, inspect: (FrameLayout, Flow) -> Void = { _, _ in }) -> Verdict {
    frame.withUnsafeBytes { bytes in
      var nothing: UInt8 = 0
      let start = withUnsafePointer(to: &nothing) { bytes.baseAddress ?? UnsafeRawPointer($0) }
      var key = FlowKey()
      let layout = FrameParser.parse(start, count: bytes.count, key: &key)
      let name = [key.a, key.b, key.c, key.d, key.e]
      var flow = flows[name] ?? Flow()
      flow.time = max(flow.time, time)
      flow.counter += 1
      inspect(layout, flow)
      let packet = PacketView(frame: start, length: bytes.count, contiguous: bytes.count, layout: layout)
      let verdict = function.process(packet, &flow.state, PacketContext(time: flow.time, counter: flow.counter))
      flows[name] = flow
      return verdict
    }
  }

  /// The only flow there is.
  var state: Function.State {
    precondition(flows.count == 1)
    return flows.first!.value.state
  }
}

/// splitmix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
