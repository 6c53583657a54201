import DEFTCore

// Summaries count what a pair's replicas have done together, the dead ones included.
extension PrimaryCounters {
  func adding(_ other: PrimaryCounters) -> PrimaryCounters {
    var sum = sumOfWords(self, other)
    sum.batchesInFlightHighWater = max(batchesInFlightHighWater, other.batchesInFlightHighWater)
    return sum
  }
}

extension SecondaryCounters {
  func adding(_ other: SecondaryCounters) -> SecondaryCounters {
    var sum = sumOfWords(self, other)
    sum.heldHighWater = max(heldHighWater, other.heldHighWater)
    return sum
  }
}

/// Both kinds of counters are nothing but 64-bit words.
private func sumOfWords<Counters: Sendable>(_ a: Counters, _ b: Counters) -> Counters {
  var sum = a
  withUnsafeMutableBytes(of: &sum) { sum in
    withUnsafeBytes(of: b) { b in
      for offset in stride(from: 0, to: sum.count, by: 8) {
        let word = sum.load(fromByteOffset: offset, as: UInt64.self) &+ b.load(fromByteOffset: offset, as: UInt64.self)
        sum.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
      }
    }
  }
  return sum
}
