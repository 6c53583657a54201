/// One question of gap repair at a time. The next is asked when the answer to the last one has begun to come, or was waited
/// for in vain, for twice as long each time. Were questions asked again while their answers are under way, answers that
/// nobody needs would fill the connection, and votes would wait behind them.
struct RepairPacing: BitwiseCopyable {
  /// Of the last question; 0: there was none. It travels with the question, and comes back with its answer.
  private(set) var question: UInt64 = 0
  private var answered: UInt64 = 0
  private var asked: UInt64 = 0
  private var inVain: UInt64 = 0
  /// Waits for an answer grow up to 2 to the power of this, times the gap timeout.
  private static let longestWait: UInt64 = 4

  func mayAsk(now: UInt64, gapTimeout: UInt64) -> Bool {
    answered == question || now &- asked >= gapTimeout << min(inVain, RepairPacing.longestWait)
  }
  mutating func noteAsked(now: UInt64) {
    inVain = answered == question ? 0 : inVain + 1
    question += 1
    asked = now
  }
  mutating func noteAnswer(_ question: UInt64) {
    if question == self.question { answered = question }
  }
}
