import DEFTCore

// No flow stalls beyond its bound: once nothing fails any more, something has to come to its end within every `patience`, until
// everything has: all packets stamped and out, pendingLists empty, replicas in sync, every packet given back.
extension Simulation {
  func lookForTheEnd() {
    if isAtRest {
      guard options.closesFlows, stampers.contains(where: { $0.occupied > 0 }) else {
        checkRest()
        isDone = true
        return
      }
    }
    let sum = progressSum
    if sum != progress.sum { progress = (sum, now) }
    if now - progress.since > options.patience { return fail(.liveness, stallReport()) }
    events.add(.check, at: now + options.patience / 64, target: 0)
  }

  private var progressSum: UInt64 {
    var sum = UInt64(stamped + transmitted) &+ UInt64(stampers.reduce(0) { $0 + $1.remaining + $1.occupied })
    sum &+= repaired
    // Markers that were sent again have been answered, and wait in the inputs, as many as these have room for: nobody wants
    // them, but each has to be taken, and in turns that are cut short that may take longer than `patience`. Nothing comes to
    // them for ever once nothing is left to stamp, and none before that counts, or doubles that go round would.
    let isAllStamped = stampers.allSatisfy { $0.remaining == 0 && $0.occupied == 0 }
    for pair in 0..<options.pairs {
      sum &+= UInt64(map[pair].epoch)
      if isAllStamped, let secondary = secondary(pair) { sum &+= secondary.taken }
      guard let primary = primary(pair) else { continue }
      if isAllStamped { sum &+= primary.taken }
      sum &+= primary.replica.counters.stateClocksApplied &+ primary.replica.counters.batchesVoted
      // A sweep has an end, and says nothing to anybody before that where there are no flows: flow by flow, in turns that are
      // cut short, it may take longer than `patience`.
      sum &+= UInt64(primary.replica.sweptCount)
    }
    return sum
  }

  private var isAtRest: Bool {
    guard packets.live == 0,
      stampers.allSatisfy({ $0.remaining == 0 && !$0.isRecovering && !$0.isRestarting }), !egress.isGone,
      egress.isIdle, notices.allSatisfy(\.isEmpty), areMovesOver
    else { return false }
    for pair in 0..<options.pairs {
      guard let primary = primary(pair), primary.replica.isQuiescent, primary.input.isEmpty,
        primary.forwards.isEmpty, !primary.replica.tellsEgress
      else { return false }
      if let secondary = secondary(pair) {
        guard secondary.replica.isQuiescent, secondary.input.isEmpty, secondary.link.isIdle else { return false }
      }
      guard map[pair].standing == .inSync else { return false }
    }
    return true
  }

  /// Why nothing moves any more.
  func stallReport() -> String {
    var text = "stamped \(stamped), to stamp \(stampers.reduce(0) { $0 + $1.remaining }), out \(transmitted), "
    text += "\(packets.live) packets held, egress holds \(egress.chain.heldCount), credit \(stampers.map(\.credit))"
    for pair in 0..<options.pairs {
      text += "; pair \(pair) \(map[pair].text)"
      if let actor = primary(pair) {
        text += ": input \(actor.input.count), room \(actor.replica.room), open \(actor.replica.openCount), in flight "
        text +=
          "\(actor.replica.batchesInFlight), pending \(actor.replica.pendingCount), acknowledged \(actor.acknowledged) "
        text +=
          "of \(actor.replica.releaseSequence), backlog \(actor.replica.backlogCount), quiescent \(actor.replica.isQuiescent), "
        if actor.replica.isSyncing { text += "swept \(actor.replica.sweptCount) of \(layout.indexCount), " }
        text += actor.replica.counters.repair.text
        if let link = actor.link { text += ", logs \(link.prepares.text), \(link.commits.text)" }
      }
      if let actor = secondary(pair) {
        text += "; secondary: input \(actor.input.count), held \(actor.replica.heldCount), pending "
        text += "\(actor.replica.pendingCount), voted \(actor.replica.votedBatch), "
        text += (actor.link.isIdle ? "link idle, " : "link busy, ") + actor.replica.counters.repair.text
      }
    }
    let slots = stampers.reduce(0) { $0 + $1.occupied }
    return text + "; slots \(slots); held: \(packets.heldText)"
  }
}

extension RepairCounters {
  /// For a report of what stands still.
  fileprivate var text: String {
    "repair: wanted \(wanted), sent \(sent), taken \(taken), missing \(missing), lost \(lost), full: table \(tableFull), "
      + "log \(logFull), pool \(poolEmpty), room \(noRoom)"
  }
}
