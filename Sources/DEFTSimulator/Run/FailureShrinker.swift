/// Looks for a smaller run that violates the same property: fewer packets, fewer kinds of faults. The seed stays, so the
/// result can be replayed by two options.
public enum FailureShrinker {
  private static let attempts = 200

  public static func shrink(_ failure: RunReport) -> RunReport {
    guard let property = failure.violation?.property else { return failure }
    let runner = SeedRunner()
    var best = failure
    var left = attempts
    func attempt(_ change: (inout SimulationOptions) -> Void) -> Bool {
      guard left > 0 else { return false }
      left -= 1
      var options = best.options
      change(&options)
      let report = runner.run(options)
      guard report.violation?.property == property else { return false }
      best = report
      return true
    }
    for fault in best.options.faults.list { _ = attempt { $0.faults.set(fault, false) } }
    var step = best.options.packets / 2
    while step > 0 {
      let packets = best.options.packets - step
      if packets < 1 || !attempt({ $0.packets = packets }) { step /= 2 }
    }
    for fault in best.options.faults.list { _ = attempt { $0.faults.set(fault, false) } }
    return best
  }
}
