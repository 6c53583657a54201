/// Which stage runs on which worker lcore.
///
/// | workers | placement |
/// |---|---|
/// | 1 | everything |
/// | 2 | distributor, stampers, secondaries · primaries, egress |
/// | 3 | distributor, stampers · primaries, egress · secondaries |
/// | 4 or more | distributor, stampers · egress · primaries and secondaries spread over the rest, the two of a pair apart |
struct StagePlacement {
  let workers: Int
  init(workers: Int) {
    precondition(workers >= 1)
    self.workers = workers
  }
  /// Index of a worker lcore.
  var stampers: Int { 0 }
  var egress: Int { workers == 1 ? 0 : 1 }
  func primary(_ pair: Int) -> Int {
    switch workers {
    case 1: 0
    case 2, 3: 1
    default: 2 + pair % (workers - 2)
    }
  }
  func secondary(_ pair: Int) -> Int {
    switch workers {
    case 1, 2: 0
    case 3: 2
    default: 2 + (pair + 1) % (workers - 2)
    }
  }
}
