import DEFTCore

/// What one run of the harness is made of. The defaults lose, double and reorder nothing.
struct HarnessOptions {
  var replication = ReplicationConfiguration(
    pair: 7, epoch: 3, batch: 8, window: 2, flushInterval: 1_000, dryWindow: 1, stateClockPackets: 16,
    stateClockInterval: 4_000, retained: 256, held: 512, pending: 32, pendingPerFlow: 16, gapTimeout: 0,
    lostRanges: 1)
  var function = ScriptedFunction()
  /// Different 5-tuples.
  var keys = 4
  /// Slots of the one stamping unit, a power of two; three quarters hold flows.
  var slots = 16
  var idleTimeout: UInt64 = 1_000_000
  /// Counter of a generation's first packet. Anything but 1 needs the flow's entries to be prepared.
  var firstCounter: UInt32 = 1
  /// Blocks that are shuffled on the ways to primary, secondary, and egress.
  var primaryBlock = 1
  var secondaryBlock = 1
  var egressWindow = 1
  /// One in so many packets is doubled on each way; 0: none.
  var doubles = 0
  /// One in so many packets is lost on each way, before it can be doubled; 0: none. Needs a `gapTimeout`.
  var primaryLosses = 0
  var secondaryLosses = 0
  /// Longest messages that the repair logs have room for.
  var repairLog = 4
  var egressHold = 64
  /// In longest messages.
  var prepareLog = 4
  var commitLog = 4
  /// Packets on their way to a replica at most.
  var inFlight = 256

  /// As `random`, with losses on the ways, and gap repair on.
  static func lossy(_ random: inout SeededGenerator) -> HarnessOptions {
    var options = HarnessOptions.random(&random)
    options.primaryLosses = random.oneOf([0, 2, 5, 20, 100])
    options.secondaryLosses = options.primaryLosses == 0 ? 10 : random.oneOf([0, 2, 5, 20, 100])
    options.repairLog = random.oneOf([1, 4, 100])
    options.replication.gapTimeout = UInt64(random.oneOf([500, 5_000, 40_000]))
    options.replication.inputCapacity = random.oneOf([0, 0, 16, 200])
    options.replication.gaps = random.oneOf([8, 64])
    options.replication.lostRanges = random.oneOf([1, 4, 64])
    return options
  }

  /// Anything that is legal. The secondary has room for all that the primary may have processed and the ways may carry.
  static func random(_ random: inout SeededGenerator) -> HarnessOptions {
    var options = HarnessOptions()
    func powerOfTwo(_ least: Int) -> Int {
      var power = 1
      while power < least { power *= 2 }
      return power
    }
    options.function = ScriptedFunction(
      dropBelow: random.oneOf([0, 0, 20, 128, 250, 256]), dropsByState: random.oneIn(2))
    options.keys = 1 + random.below(14)
    options.idleTimeout = UInt64(random.oneOf([3_000, 20_000, 200_000]))
    options.primaryBlock = random.oneOf([1, 2, 8, 32])
    options.secondaryBlock = random.oneOf([1, 2, 8, 32])
    options.egressWindow = random.oneOf([1, 1, 4, 16])
    options.doubles = random.oneOf([0, 0, 3, 10, 50])
    options.egressHold = random.oneOf([1, 4, 64])
    options.prepareLog = 1 + random.below(3)
    options.commitLog = 1 + random.below(3)
    options.inFlight = random.oneOf([64, 256])

    var pair = options.replication
    pair.batch = random.oneOf([1, 2, 5, 1 + random.below(64), 64])
    pair.window = random.oneOf([1, 1 + random.below(8), 8])
    pair.dryWindow = 1 + random.below(pair.window)
    pair.flushInterval = UInt64(random.oneOf([100, 2_000, 20_000]))
    pair.stateClockPackets = random.oneOf([1, 1 + random.below(256), 256])
    pair.stateClockInterval = UInt64(random.oneOf([100, 5_000, 50_000]))
    pair.pending = random.oneOf([1, 4, 32, 128])
    pair.pendingPerFlow = random.oneOf([1, 4, 32])
    pair.retained = powerOfTwo(2 * (pair.batch + pair.pendingPerFlow)) * random.oneOf([1, 1, 2, 4])
    let ways = 4 * (options.primaryBlock + options.secondaryBlock) + options.inFlight
    pair.held = powerOfTwo(pair.retained + pair.pending + ways)
    options.replication = pair
    return options
  }
}
