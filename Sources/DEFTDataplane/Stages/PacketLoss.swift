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

    static func + (a: Counts, b: Counts) -> Counts {
      Counts(
        toPrimaries: a.toPrimaries + b.toPrimaries, toSecondaries: a.toSecondaries + b.toSecondaries,
        everywhere: a.everywhere + b.everywhere)
    }
  }

  private let threshold: UInt64
  private let seed: UInt64

  init(probability: Double, seed: UInt64) {
    threshold = probability >= 1 ? .max : UInt64(probability * 18_446_744_073_709_551_615.0)
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
    return mixed(mixed(stamp ^ seed) &+ (toPrimary ? 1 : 2)) < threshold
  }

  /// SplitMix64's output function.
  private func mixed(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
