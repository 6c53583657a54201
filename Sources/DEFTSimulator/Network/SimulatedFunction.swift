import DEFTCore
import DEFTWire
import NetworkFunctions

/// The NF of the runs: a hash chain over every packet's content, counter and flow time, so that a packet too many, too few
/// or out of order shows in the state for ever after; and, in some runs, the firewall besides.
struct SimulatedFunction: NetworkFunction {
  struct State: BitwiseCopyable, Sendable, Equatable {
    var hash: UInt64
    var packets: UInt32
    var lastCounter: UInt32
    var firewall: Firewall.State
  }
  static var initialState: State { State(hash: 0, packets: 0, lastCounter: 0, firewall: Firewall.State()) }
  static let name = "simulated"
  static let summary = "for the simulator"
  private static let firewall = Firewall()

  /// Drops packets whose content is below this, of 256.
  var dropBelow = 0
  /// Drops about every fifth packet besides, as the state says.
  var dropsByState = false
  var hasFirewall = false

  static let contentOffset = 54

  func process(_ packet: PacketView, _ state: inout State, _ context: PacketContext) -> Verdict {
    let word = packet.frame.loadUnaligned(fromByteOffset: SimulatedFunction.contentOffset, as: UInt64.self)
    state.hash = (state.hash ^ word ^ context.time) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(context.counter)
    state.packets += 1
    state.lastCounter = context.counter
    var isDropped = Int(word & 255) < dropBelow || dropsByState && state.hash >> 32 % 5 == 0
    if hasFirewall, case .drop = SimulatedFunction.firewall.process(packet, &state.firewall, context) { isDropped = true }
    return isDropped ? .drop : .pass
  }
}
