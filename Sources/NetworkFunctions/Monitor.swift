import DEFTCore
import DEFTWire

/// Counts what each flow sends and passes everything: the smallest useful stateful NF, and the one to measure the
/// pipeline with.
@frozen
public struct Monitor: NetworkFunction {
  /// What is known of one flow, both directions together. 40 bytes, five words, no padding.
  @frozen
  public struct State: Equatable, Sendable, BitwiseCopyable {
    public var packets: UInt64
    /// Bytes of the whole frames, Ethernet header included, frame check sequence not.
    public var bytes: UInt64
    /// Flow time of the first and the last packet, ns since 1970.
    public var firstTime: UInt64
    public var lastTime: UInt64
    /// OR of the TCP flags seen (RFC 9293 §3.1), 0 for other protocols. A whole word, so that no byte is padding.
    public var tcpFlags: UInt64

    @inlinable @inline(__always)
    public init() { (packets, bytes, firstTime, lastTime, tcpFlags) = (0, 0, 0, 0, 0) }
  }

  @inlinable @inline(__always)
  public static var initialState: State { State() }
  public static var name: String { "monitor" }
  public static var summary: String { "counts packets, bytes, times and TCP flags of each flow; passes everything" }

  @inlinable @inline(__always)
  public init() {}

  @inlinable @inline(__always)
  public func process(_ packet: PacketView, _ state: inout State, _ context: PacketContext) -> Verdict {
    // Not `context.counter == 1`: the first packet may have been declared lost.
    if state.packets == 0 { state.firstTime = context.time }
    state.packets &+= 1
    state.bytes &+= UInt64(truncatingIfNeeded: packet.length)
    state.lastTime = context.time
    state.tcpFlags |= UInt64(packet.tcpFlags)
    return .pass
  }
}
