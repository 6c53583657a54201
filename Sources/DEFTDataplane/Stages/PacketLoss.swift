import DEFTCore

/// Destroys packets on the ways from the switch to the replicas, on request and seeded. Whether it does depends on the seed,
/// the way and the stamp alone, so a run can say afterwards which packets were lost on both ways, and a run with the same
/// seed loses the same ones.
struct PacketLoss: Sendable {
  /// Packets destroyed.
  struct Counts: Sendable {
    var toPrimaries: UInt64 = 0
    var toSecondaries: UInt64 = 0
    /// On every way that there was: these cannot come out.
    var everywhere: UInt64 = 0
  }

  private let threshold: UInt64
  private let seed: UInt64

  init(probability: Double, seed: UInt64) {
    threshold = SplitMix64.threshold(probability)
    self.seed = seed
  }

  var isActive: Bool { threshold > 0 }

  /// A close marker arrives at one replica at least: a stamping unit does not send it again.
  func destroys(_ packet: Packet, toPrimary: Bool, isOnlyWay: Bool) -> Bool {
    if packet.pointee.layout.isCloseMarker {
      if isOnlyWay { return false }
      if !toPrimary, destroys(packet, toPrimary: true) { return false }
    }
    return destroys(packet, toPrimary: toPrimary)
  }

  private func destroys(_ packet: Packet, toPrimary: Bool) -> Bool {
    let stamp = UInt64(packet.pointee.flowID) << 32 | UInt64(packet.pointee.counter)
    return SplitMix64.output(after: SplitMix64.output(after: stamp ^ seed) &+ (toPrimary ? 1 : 2)) < threshold
  }
}
