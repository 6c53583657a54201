import DEFTWire

/// A stateful network function. One value of the conforming type serves all flows of a replica; it must not change while
/// it runs, so every run over the same packets gives the same states and verdicts (R15): what it may look at is its own
/// configuration, the packet, the flow's state and the flow's time. No clock, no randomness, no other flow.
///
/// Runs on a worker lcore: no allocation, no classes, no locks in `process`. Tables belong in raw memory that the
/// initialiser allocates.
public protocol NetworkFunction: Sendable {
  /// What the NF remembers of one flow. A fixed-size trivial value: it is copied byte for byte to the secondary with
  /// every state clock, so keep it small and leave no byte of it uninitialised (padding is copied and compared as well).
  associatedtype State: BitwiseCopyable & Sendable
  /// The state of a flow that has had no packet yet. All bytes zero.
  static var initialState: State { get }
  /// As it is called on the command line.
  static var name: String { get }
  /// One line for `deft list`.
  static var summary: String { get }
  /// Updates the flow's state by one packet and says what becomes of the packet. Called once per packet, in stamp order per flow.
  func process(_ packet: PacketView, _ state: inout State, _ context: PacketContext) -> Verdict
}

/// What an NF may know besides the packet.
@frozen
public struct PacketContext: BitwiseCopyable {
  /// The flow's time, ns since 1970: never goes back within a flow; not comparable across flows (R19).
  public let time: UInt64
  /// The packet's place in its flow; the first packet of a flow has 1.
  public let counter: UInt32
  @inlinable @inline(__always)
  public init(time: UInt64, counter: UInt32) {
    self.time = time
    self.counter = counter
  }
}

/// What becomes of a packet.
@frozen
public enum Verdict: Sendable {
  case pass
  /// Counted; the flow goes on.
  case drop
}
