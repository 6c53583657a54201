/// The Internet mix: of 12 frames 7 are small, 4 medium and 1 large. Some frames have no choice (a SYN is small, all but
/// the last fragment are not): they are taken out of the same draw, so that the mix of the whole file comes out right.
struct SizeMix {
  /// Raw values: frame lengths in bytes without FCS, tags included.
  enum Class: Int {
    case small = 60
    case medium = 590
    case large = 1514
  }

  /// Small frames sent in advance (> 0) or still owed (< 0).
  private var advance = 0

  /// A frame that may have any size.
  mutating func any(_ random: inout SeededGenerator) -> Class {
    if advance < 0 {
      advance += 1
      return .small
    }
    while true {
      let drawn = draw(&random)
      guard drawn == .small, advance > 0 else { return drawn }
      advance -= 1
    }
  }

  /// A frame that must be small.
  mutating func small() { advance += 1 }

  /// A frame that must not be small.
  mutating func notSmall(_ random: inout SeededGenerator) -> Class {
    while true {
      let drawn = draw(&random)
      if drawn != .small { return drawn }
      advance -= 1
    }
  }

  private func draw(_ random: inout SeededGenerator) -> Class {
    switch random.below(12) {
    case 0..<7: .small
    case 7..<11: .medium
    default: .large
    }
  }
}
