import CDPDK
import DEFTCore

/// Where a stamping unit's packets come from: one receive queue of a port, at the port's own pace or at a given one.
public struct PacketSource: Sendable {
  public enum Pace: Sendable {
    /// As fast as there is room behind; a packet waits in the source. Captures only.
    case asTaken
    /// As fast as the port delivers; what finds no room is dropped and counted.
    case asDelivered
    /// Packets per second; what finds no room is dropped and counted.
    case rate(UInt64)
  }
  let port: UInt16
  let queue: UInt16
  let pace: Pace
  /// Packets after which the source has ended; `.max`: never.
  let limit: UInt64
  /// Receive timestamps of the capture are the stamp time, instead of the clock.
  let usesCaptureTime: Bool

  public init(port: UInt16, queue: UInt16, pace: Pace, limit: UInt64, usesCaptureTime: Bool) {
    self.port = port
    self.queue = queue
    self.pace = pace
    self.limit = limit
    self.usesCaptureTime = usesCaptureTime
  }
}

/// One burst as it came from the port.
struct ReceivedBurst: ~Copyable {
  let packets: UnsafeMutablePointer<Packet>
  let frames: UnsafeMutablePointer<UnsafePointer<UInt8>?>
  let contiguous: UnsafeMutablePointer<UInt32>

  init(capacity: Int) {
    packets = .allocate(capacity: capacity)
    frames = .allocate(capacity: capacity)
    contiguous = .allocate(capacity: capacity)
  }
  deinit {
    packets.deallocate()
    frames.deallocate()
    contiguous.deallocate()
  }

  @inline(__always)
  func receive(port: UInt16, queue: UInt16, limit: Int, references: UInt16) -> Int {
    Int(cd_rx_burst(port, queue, handles(packets), frames, contiguous, UInt16(limit), references))
  }
}
