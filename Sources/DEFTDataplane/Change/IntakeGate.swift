import Synchronization

/// Stops the stamping units of a process at an exact packet, so that a planned failure happens there and nowhere else,
/// however short the capture. All units run on one lcore, so the count is its own; the director of failures reads it.
@usableFromInline
struct IntakeGate: @unchecked Sendable {
  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  init() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 2)
    words.initialize(to: Atomic(0))
    (words + 1).initialize(to: Atomic(.max))
  }

  /// Packets stamped so far by all units.
  var stamped: UInt64 { words[0].load(ordering: .acquiring) }
  /// Where the units stop.
  var stop: UInt64 { words[1].load(ordering: .acquiring) }
  var isReached: Bool { stamped >= stop }

  /// Packets that may still be received.
  @inline(__always)
  var left: Int { Int(clamping: max(stop, stamped) - stamped) }
  func count(_ packets: Int) { words[0].store(stamped &+ UInt64(packets), ordering: .releasing) }
  /// Lets the units go on until `stop`.
  func open(until stop: UInt64) { words[1].store(stop, ordering: .releasing) }
}
