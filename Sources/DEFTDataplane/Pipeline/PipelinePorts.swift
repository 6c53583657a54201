import CDPDK
import DEFTCore

/// The started ports that a pipeline works between, and the pool that its packets live in.
public struct PipelinePorts: @unchecked Sendable {
  public var source: UInt16
  public var sink: UInt16
  /// Gets a copy of every stamped packet.
  public var mirror: UInt16?
  public var pool: OpaquePointer
  public var pace: PacketSource.Pace
  /// Packets after which the source has ended; `.max`: never.
  public var limit: UInt64
  public var usesCaptureTime: Bool
  /// The source port has one receive queue per stamping unit and spreads by a symmetric flow hash.
  public var spreadsByFlow: Bool
  /// Buffers that the source keeps for ever (a preloaded capture), for the leak check; nil: unknown, no check.
  public var preloaded: UInt32?

  public init(
    source: UInt16, sink: UInt16, mirror: UInt16?, pool: OpaquePointer, pace: PacketSource.Pace, limit: UInt64,
    usesCaptureTime: Bool, spreadsByFlow: Bool, preloaded: UInt32?
  ) {
    self.source = source
    self.sink = sink
    self.mirror = mirror
    self.pool = pool
    self.pace = pace
    self.limit = limit
    self.usesCaptureTime = usesCaptureTime
    self.spreadsByFlow = spreadsByFlow
    self.preloaded = preloaded
  }
}
