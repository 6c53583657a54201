import CDPDK
import DEFTCore
import Synchronization

/// The rings between stages. Each has one producer and one consumer; each capacity is exact, and a full ring is never
/// written: the writer looks for room first.
struct PipelineRings {
  /// By unit: from the distributor.
  var toUnit: [OpaquePointer] = []
  /// The rings of one host of a pair's replica. A host that is never primary has only the way for copies, one that is never
  /// secondary lacks that.
  struct Host {
    /// By unit: packets for a primary.
    var originals: [OpaquePointer] = []
    /// By unit: packets for a secondary.
    var copies: [OpaquePointer] = []
    /// From former owners of its groups (R8), for a primary and for a secondary, by source pair and which of the two lcores
    /// of that pair's replicas they come from; nil where no migration is planned.
    var forwardedOriginals: [OpaquePointer?] = []
    var forwardedCopies: [OpaquePointer?] = []
    /// By unit: flow IDs whose slots are free again. As many as a unit may be closing.
    var closes: [OpaquePointer] = []
    /// To egress, and how many packets egress has dealt with.
    var releases: OpaquePointer?
    var acknowledged: UnsafeMutablePointer<Atomic<UInt64>>?
    /// Packets that wait for their turn at the replica, primary or secondary; written by it, read by the switch.
    let waiting = PipelineRings.word()
  }
  /// By pair, host. Host 0 begins as primary, host 1 as secondary; each planned failure brings one more.
  var hosts: [[Host]] = []

  /// Packets that can be on their way from a former owner.
  private static let forwarded = 1024

  init(_ configuration: PipelineConfiguration) throws(DataplaneError) {
    let perLink = max(1, configuration.inputBuffer / configuration.stampers)
    for unit in 0..<configuration.stampers {
      toUnit.append(try Self.ring("unit\(unit)", perLink))
    }
    for pair in 0..<configuration.pairs {
      let count = configuration.hosts(ofPair: pair)
      var hosts: [Host] = []
      for number in 0..<count {
        var host = Host()
        let name = "\(pair).\(number)"
        if number == 0 || count > 2 {
          for unit in 0..<configuration.stampers {
            host.originals.append(try Self.ring("primary\(unit).\(name)", perLink))
            host.closes.append(try Self.ring("close\(unit).\(name)", StampingUnit.maximumClosing))
          }
          host.releases = try Self.ring("release\(name)", 4096)
          host.acknowledged = Self.word()
        }
        if number > 0 {
          for unit in 0..<configuration.stampers {
            // The secondary's own bound is what it holds; its ring is only the way there.
            host.copies.append(try Self.ring("secondary\(unit).\(name)", max(perLink, 1024)))
          }
        }
        for source in 0..<configuration.pairs {
          for parity in 0..<2 {
            let isNeeded = configuration.forwards(from: source, to: pair)
            let way = "\(name).\(source).\(parity)"
            let isPrimary = number == 0 || count > 2
            host.forwardedOriginals.append(isNeeded && isPrimary ? try Self.ring("forward\(way)", Self.forwarded) : nil)
            host.forwardedCopies.append(isNeeded && number > 0 ? try Self.ring("copies\(way)", Self.forwarded) : nil)
          }
        }
        hosts.append(host)
      }
      self.hosts.append(hosts)
    }
  }

  /// Nothing is on its way between stages. Exact only while nobody sends.
  var areEmpty: Bool {
    hosts.allSatisfy { hosts in
      hosts.allSatisfy { host in
        (host.originals + host.copies + host.closes + (host.forwardedOriginals + host.forwardedCopies).compactMap { $0 })
          .allSatisfy { cd_ring_count($0) == 0 }
          && (host.releases.map { cd_ring_count($0) == 0 } ?? true)
      }
    }
  }

  /// On a cache line of its own.
  private static func word() -> UnsafeMutablePointer<Atomic<UInt64>> {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    let word = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
    word.initialize(to: Atomic(0))
    return word
  }

  private static func ring(_ name: String, _ capacity: Int) throws(DataplaneError) -> OpaquePointer {
    var error: Int32 = 0
    guard let ring = cd_ring_create("deft_\(name)", UInt32(capacity), &error) else {
      throw .ring(name: name, capacity: capacity, reason: String(cString: cd_error_text(error)))
    }
    return ring
  }
}
