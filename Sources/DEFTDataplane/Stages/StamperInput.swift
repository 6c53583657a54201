import CDPDK
import DEFTCore
import Synchronization

/// Where a stamping unit gets its packets: straight from a port's queue, or from the distributor's ring when the port cannot
/// spread by flow itself.
struct StamperInput {
  let source: PacketSource
  /// Filled by a `DistributorStage`; nil: the unit polls the port.
  let ring: OpaquePointer?
  private let started: UInt64
  /// Set when nothing more shall be received.
  private let stopped: UnsafeMutablePointer<Atomic<Bool>>

  init(source: PacketSource, ring: OpaquePointer?, now: UInt64, stopped: UnsafeMutablePointer<Atomic<Bool>>) {
    self.source = source
    self.ring = ring
    started = now
    self.stopped = stopped
  }

  /// The source can wait, so nothing need be dropped.
  @inline(__always)
  var waits: Bool {
    if case .asTaken = source.pace { return true }
    return false
  }
  @inline(__always)
  var usesCaptureTime: Bool { source.usesCaptureTime }

  /// A ring's end is the distributor's to know.
  func isExhausted(received: UInt64) -> Bool {
    ring == nil && (received >= source.limit || stopped.pointee.load(ordering: .relaxed))
  }

  /// How many packets may be received now.
  @inline(__always)
  func limit(now: UInt64, received: UInt64, credit: Int, burst: Int) -> Int {
    if ring != nil { return waits ? min(burst, credit) : burst }
    if stopped.pointee.load(ordering: .relaxed) { return 0 }
    var limit = burst
    switch source.pace {
    case .asTaken: limit = min(limit, credit)
    case .asDelivered: break
    case .rate(let rate):
      let due = (now &- started).multipliedFullWidth(by: rate)
      let allowed = UInt64(1_000_000_000).dividingFullWidth((min(due.high, 999_999_999), due.low)).quotient
      limit = Int(min(UInt64(burst), allowed > received ? allowed - received : 0))
    }
    if source.limit != .max { limit = Int(min(UInt64(limit), source.limit - received)) }
    return limit
  }

  @inline(__always)
  func receive(into burst: borrowing ReceivedBurst, limit: Int, references: UInt16) -> Int {
    guard let ring else {
      return burst.receive(port: source.port, queue: source.queue, limit: limit, references: references)
    }
    let count = Int(cd_ring_dequeue(ring, handles(burst.packets), UInt32(limit)))
    cd_set_references(handles(burst.packets), UInt32(count), references)
    for i in 0..<count {
      burst.frames[i] = cd_frame(burst.packets[i])
      burst.contiguous[i] = cd_frame_contiguous(burst.packets[i])
    }
    return count
  }

  func captureTime(_ packet: Packet, otherwise now: UInt64) -> UInt64 {
    let time = cd_rx_timestamp_ns(packet)
    return time == 0 ? now : time
  }
}
