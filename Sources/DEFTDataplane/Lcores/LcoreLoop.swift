import CDPDK
import DEFTCore
import Synchronization

/// The stages of one lcore, polled in turn until told to stop: the whole life of a worker. Stages live in raw memory; the
/// loop is specialised per NF, so a poll is a direct call.
@usableFromInline
struct LcoreLoop<Function: NetworkFunction>: ~Copyable {
  @usableFromInline let lcore: UInt32
  /// Of this lcore only; cache-line aligned.
  @usableFromInline let counters: UnsafeMutablePointer<LcoreCounters>
  @usableFromInline let clock: LcoreClock
  @usableFromInline let stop: UnsafeMutablePointer<Atomic<Bool>>
  @usableFromInline let busyPoll: Bool
  /// Control threads or other lcores run on the same CPU: give it away as soon as there is nothing to do.
  @usableFromInline let sharesCPU: Bool
  @usableFromInline let orders = LcoreOrder()

  @usableFromInline var distributors: [UnsafeMutablePointer<DistributorStage>] = []
  @usableFromInline var stampers: [UnsafeMutablePointer<StamperStage>] = []
  @usableFromInline var seats: [UnsafeMutablePointer<ReplicaSeat<Function>>] = []
  @usableFromInline var egresses: [UnsafeMutablePointer<EgressStage>] = []

  init(
    lcore: UInt32, counters: UnsafeMutablePointer<LcoreCounters>, clock: LcoreClock,
    stop: UnsafeMutablePointer<Atomic<Bool>>, busyPoll: Bool, sharesCPU: Bool
  ) {
    self.lcore = lcore
    self.counters = counters
    self.clock = clock
    self.stop = stop
    self.busyPoll = busyPoll
    self.sharesCPU = sharesCPU
  }

  mutating func add(_ stage: UnsafeMutablePointer<DistributorStage>) { distributors.append(stage) }
  mutating func add(_ stage: UnsafeMutablePointer<StamperStage>) { stampers.append(stage) }
  mutating func add(_ seat: UnsafeMutablePointer<ReplicaSeat<Function>>) { seats.append(seat) }
  mutating func add(_ stage: UnsafeMutablePointer<EgressStage>) { egresses.append(stage) }

  /// What runs here, for the summary.
  var roles: [String] {
    let counts: [(String, Int)] = [
      ("distributor", distributors.count), ("stamper", stampers.count),
      ("primary", seats.count { $0.pointee.primary != nil }), ("secondary", seats.count { $0.pointee.secondary != nil }),
      ("egress", egresses.count),
    ]
    return counts.filter { $0.1 > 0 }.map { $0.1 == 1 ? $0.0 : "\($0.1)×\($0.0)" }
  }

  /// Runs until `stop`. Called on the lcore.
  @inlinable
  func run() {
    // The arrays are read once: the loop itself touches raw pointers only.
    distributors.withUnsafeBufferPointer { distributors in
      stampers.withUnsafeBufferPointer { stampers in
        seats.withUnsafeBufferPointer { seats in
          egresses.withUnsafeBufferPointer { egresses in
            loop(distributors, stampers, seats, egresses)
          }
        }
      }
    }
  }

  @inlinable
  func loop(
    _ distributors: UnsafeBufferPointer<UnsafeMutablePointer<DistributorStage>>,
    _ stampers: UnsafeBufferPointer<UnsafeMutablePointer<StamperStage>>,
    _ seats: UnsafeBufferPointer<UnsafeMutablePointer<ReplicaSeat<Function>>>,
    _ egresses: UnsafeBufferPointer<UnsafeMutablePointer<EgressStage>>
  ) {
    var idleRounds: UInt32 = 0
    var before = cd_tsc()
    while !stop.pointee.load(ordering: .relaxed) {
      let now = clock.time(at: before)
      var moved = 0
      for stage in distributors { moved &+= stage.pointee.poll(now: now) }
      for stage in stampers { moved &+= stage.pointee.poll(now: now) }
      for seat in seats { if let stage = seat.pointee.secondary { moved &+= stage.pointee.poll(now: now) } }
      for seat in seats { if let stage = seat.pointee.primary { moved &+= stage.pointee.poll(now: now) } }
      for stage in egresses { moved &+= stage.pointee.poll() }
      orders.obey()
      let after = cd_tsc()
      counters.pointee.rounds &+= 1
      counters.pointee.totalCycles &+= after &- before
      if moved > 0 {
        counters.pointee.busyCycles &+= after &- before
        idleRounds = 0
        before = after
      } else {
        idleRounds &+= 1
        before = after
        if !busyPoll { backOff(idleRounds) }
      }
    }
  }

  /// First a short spin, so that a packet or a vote that is about to come finds the lcore awake; then the CPU is given away
  /// for longer and longer.
  @inlinable @inline(__always)
  func backOff(_ idleRounds: UInt32) {
    let spins: UInt32 = sharesCPU ? 16 : 2048
    if _fastPath(idleRounds < spins) {
      cd_pause()
    } else {
      nap(idleRounds &- spins)
    }
  }

  @inline(never) @usableFromInline
  func nap(_ round: UInt32) {
    counters.pointee.naps &+= 1
    if sharesCPU && round < 64 {
      cd_lcore_yield()
    } else {
      cd_sleep_us(round < 256 ? 20 : 200)
    }
  }
}
