import CDPDK
import DEFTCore
import Synchronization

/// The rings between stages. Each has one producer and one consumer; each capacity is exact, and a full ring is never
/// written: the writer looks for room first.
struct PipelineRings {
  /// By unit: from the distributor.
  var toUnit: [OpaquePointer] = []
  /// By unit, pair.
  var toPrimary: [[OpaquePointer]] = []
  var toSecondary: [[OpaquePointer]] = []
  /// By pair: to egress.
  var releases: [OpaquePointer] = []
  /// By unit, pair: flow IDs whose slots are free again. As many as a unit may be closing.
  var closes: [[OpaquePointer]] = []
  /// By pair: how many packets egress has dealt with.
  var acknowledged: [UnsafeMutablePointer<Atomic<UInt64>>] = []

  init(_ configuration: PipelineConfiguration) throws(DataplaneError) {
    let perLink = max(1, configuration.inputBuffer / configuration.stampers)
    for unit in 0..<configuration.stampers {
      toUnit.append(try Self.ring("unit\(unit)", perLink))
      var primary: [OpaquePointer] = []
      var secondary: [OpaquePointer] = []
      var close: [OpaquePointer] = []
      for pair in 0..<configuration.pairs {
        primary.append(try Self.ring("primary\(unit).\(pair)", perLink))
        // The secondary's own bound is what it holds; its ring is only the way there.
        secondary.append(try Self.ring("secondary\(unit).\(pair)", max(perLink, 1024)))
        close.append(try Self.ring("close\(unit).\(pair)", StampingUnit.maximumClosing))
      }
      toPrimary.append(primary)
      toSecondary.append(secondary)
      closes.append(close)
    }
    for pair in 0..<configuration.pairs {
      releases.append(try Self.ring("release\(pair)", 4096))
      let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
      let word = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
      word.initialize(to: Atomic(0))
      acknowledged.append(word)
    }
  }

  private static func ring(_ name: String, _ capacity: Int) throws(DataplaneError) -> OpaquePointer {
    var error: Int32 = 0
    guard let ring = cd_ring_create("deft_\(name)", UInt32(capacity), &error) else {
      throw .ring(name: name, capacity: capacity, reason: String(cString: cd_error_text(error)))
    }
    return ring
  }
}
