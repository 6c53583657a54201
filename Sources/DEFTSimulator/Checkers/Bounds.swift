import DEFTCore

// No queue is longer than its bound, and no replica is told what a correct peer cannot say.
extension Simulation {
  /// What a former owner's credit lets on its way, each with a double and a stray that the path makes of it.
  private var longestForwards: Int { 3 * (options.inputBuffer + max(1, options.inputBuffer / 2)) }

  func checkPrimaryBounds(_ actor: PrimaryActor) {
    let pair = options.replication
    let isInBounds =
      actor.replica.pendingCount <= pair.pending && actor.replica.longestPending <= pair.pendingPerFlow
      && actor.replica.batchesInFlight <= pair.window
      && actor.replica.openCount <= pair.batch + pair.pending && actor.inbox.count <= options.inbox
      && actor.input.count <= 2 * options.inputBuffer && actor.forwards.count <= longestForwards
    require(isInBounds, .bounds) {
      "\(actor.name): \(actor.replica.pendingCount) pending, \(actor.replica.batchesInFlight) batches, "
        + "\(actor.replica.openCount) in the open one, longest list \(actor.replica.longestPending), inbox \(actor.inbox.count), "
        + "input \(actor.input.count), forwarded \(actor.forwards.count)"
    }
    require(actor.replica.keptCount <= max(pair.kept, pair.longestHold), .bounds) {
      "\(actor.name) keeps \(actor.replica.keptCount) packets"
    }
    require(actor.replica.counters.impossibleMessages == 0, .messages) { "\(actor.name) refuses a message" }
    checkPacketMemory(atEnd: false)
  }

  func checkSecondaryBounds(_ actor: SecondaryActor) {
    let pair = options.replication
    let isInBounds =
      actor.replica.pendingCount <= pair.pending && actor.replica.longestPending <= pair.pendingPerFlow
      && actor.replica.heldCount <= pair.longestHold
      && actor.inbox.count <= options.inbox && actor.outbox.count <= options.inbox
      && actor.input.count <= 2 * options.inputBuffer
    require(isInBounds, .bounds) { "\(actor.name): \(actor.replica.pendingCount) pending, \(actor.replica.heldCount) held" }
    require(actor.replica.counters.impossibleMessages == 0, .messages) { "\(actor.name) refuses a message" }
  }

  func checkEgressBounds() {
    require(egress.chain.heldCount <= options.egressHold, .bounds) { "egress holds \(egress.chain.heldCount)" }
  }
}
