/// Arrival times with exponential gaps. The mean gap is always what is left of the duration over what is left of the
/// packets, so that the last one arrives at or shortly before the end.
struct ArrivalClock {
  private var random: SeededGenerator
  private let duration: UInt64
  private var left: Int
  private var time: UInt64 = 0

  /// - Parameter duration: in ns.
  init(packets: Int, duration: UInt64, seed: UInt64) {
    random = SeededGenerator(seed: seed, stream: 2)
    self.duration = duration
    left = packets
  }

  /// The next packet's time in ns; the first one's is 0. Never falls.
  mutating func next() -> UInt64 {
    defer { left -= 1 }
    precondition(left > 0)
    let now = time
    if left > 1 {
      let gap = Double(duration - time) / Double(left - 1) * random.exponential()
      time += UInt64(min(gap, Double(duration - time)))
      time = min(time, duration)
    }
    return now
  }
}
