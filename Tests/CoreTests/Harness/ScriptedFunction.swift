import DEFTCore
import DEFTWire

/// An NF whose state depends on every packet, on their order and on the flow's time. Drops a packet whose first byte is
/// below `dropBelow`, and, if `dropsByState`, about every fifth besides, as the state says.
struct ScriptedFunction: NetworkFunction {
  struct State: BitwiseCopyable, Sendable, Equatable {
    var hash: UInt64
    var packets: UInt32
    var lastCounter: UInt32
  }
  static var initialState: State { State(hash: 0, packets: 0, lastCounter: 0) }
  static let name = "scripted"
  static let summary = "for tests"

  var dropBelow = 0
  var dropsByState = false

  func process(_ packet: PacketView, _ state: inout State, _ context: PacketContext) -> Verdict {
    let word = packet.frame.loadUnaligned(as: UInt64.self)
    return process(word, &state, context)
  }

  func process(_ word: UInt64, _ state: inout State, _ context: PacketContext) -> Verdict {
    state.hash = (state.hash ^ word ^ context.time) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(context.counter)
    state.packets += 1
    state.lastCounter = context.counter
    if Int(word & 255) < dropBelow || dropsByState && state.hash >> 32 % 5 == 0 { return .drop }
    return .pass
  }
}
