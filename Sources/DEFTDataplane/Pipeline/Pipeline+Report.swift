import CDPDK
import DEFTCore

// What the stages have counted, and whether the properties hold.
extension Pipeline {
  /// The source has ended, or was stopped.
  var isExhausted: Bool {
    distributor.map { $0.pointee.isExhausted } ?? stampers.allSatisfy { $0.pointee.isExhausted }
  }

  public var isDrained: Bool {
    guard isExhausted, director?.isSettled ?? true else { return false }
    let sums = report()
    if let distributor {
      let distributed = distributor.pointee.received &- distributor.pointee.inputBufferFull
      guard stampers.reduce(0, { $0 + $1.pointee.received }) == distributed else { return false }
    }
    let present = (0..<configuration.pairs).map { replicas.primaries(ofPair: $0).last! }
    if director == nil {
      let sent =
        sums.stamped + sums.closeMarkers + stampers.reduce(0) { $0 + $1.pointee.fabric.duplicated.primary }
        &- sums.destroyedToPrimaries
      guard sent == sums.pairs.reduce(0, { $0 + $1.primary.received }) else { return false }
      let released = sums.pairs.reduce(0) { $0 + $1.primary.released }
      guard released == egress.pointee.decided else { return false }
    } else {
      // What dead replicas had does not add up: the ways are looked at instead.
      guard rings.areEmpty, stampers.allSatisfy({ $0.pointee.fabric.isFlushed }) else { return false }
    }
    return egress.pointee.isIdle && present.allSatisfy { $0.pointee.replica.isQuiescent }
      && (0..<configuration.pairs).allSatisfy {
        replicas.secondaries(ofPair: $0).last?.pointee.replica.isQuiescent ?? true
      }
  }

  public func report() -> PipelineReport {
    var report = PipelineReport()
    for index in loops.indices {
      report.lcores.append(
        .init(lcore: loops[index].lcore, roles: loops[index].roles, counters: loops[index].counters.pointee))
    }
    func drop(_ reason: DropReason, _ count: UInt64) {
      if count > 0 { report.drops[reason, default: 0] += count }
    }
    if let distributor {
      report.received = distributor.pointee.received
      drop(.inputBufferFull, distributor.pointee.inputBufferFull)
    }
    for stamper in stampers {
      if distributor == nil { report.received += stamper.pointee.received }
      report.stamped += stamper.pointee.stamped
      report.closeMarkers += stamper.pointee.markersSent
      report.activeFlows += stamper.pointee.flows.occupied
      report.closedFlows += stamper.pointee.flows.closed
      report.mirrorLost += stamper.pointee.mirrorLost
      let doubles = stamper.pointee.fabric.duplicated
      report.injectedDuplicates += doubles.primary + doubles.secondary
      let destroyed = stamper.pointee.fabric.destroyed
      report.destroyedToPrimaries += destroyed.toPrimaries
      report.destroyedToSecondaries += destroyed.toSecondaries
      report.destroyedEverywhere += destroyed.everywhere
      drop(.inputBufferFull, stamper.pointee.inputBufferFull)
      drop(.flowTableFull, stamper.pointee.flowTableFull)
    }
    for pair in 0..<configuration.pairs {
      let (all, copies) = (replicas.primaries(ofPair: pair), replicas.secondaries(ofPair: pair))
      let present = all.last!
      let primary = all.dropLast().reduce(present.pointee.replica.counters) { $0.adding($1.pointee.replica.counters) }
      let secondary = copies.last.map { last in
        copies.dropLast().reduce(last.pointee.replica.counters) { $0.adding($1.pointee.replica.counters) }
      }
      report.pairs.append(
        .init(
          pair: pair, primary: primary, secondary: secondary,
          batchesInFlight: max(0, present.pointee.replica.batchesInFlight),
          pendingNow: present.pointee.replica.pendingCount, pendingHighWater: present.pointee.replica.pendingHighWater,
          heldNow: max(0, copies.last?.pointee.replica.heldCount ?? 0)))
      report.processed += primary.processed
      report.droppedByFunction += primary.droppedByFunction
      report.released += primary.released
      drop(.duplicate, primary.duplicates + (secondary?.duplicates ?? 0))
      drop(.staleGeneration, primary.staleGeneration + (secondary?.staleGeneration ?? 0))
      drop(.outsideWindow, primary.outsideWindow + (secondary?.outsideWindow ?? 0))
      drop(.pendingFull, primary.pendingFull + (secondary?.pendingFull ?? 0))
    }
    report.released -= min(report.released, egress.pointee.chain.forgotten)
    report.transmitted = egress.pointee.transmitted
    report.suppressed = egress.pointee.chain.suppressed
    report.portFull = egress.pointee.portFull
    return report
  }

  public func finalReport(drained: Bool) -> PipelineReport {
    var report = report()
    for pair in 0..<configuration.pairs {
      let (primary, flows) = replicas.primaries(ofPair: pair).last!.pointee.replica.digest()
      let secondary = replicas.secondaries(ofPair: pair).last?.pointee.replica.digest().digest
      report.digests.append(.init(pair: pair, primary: primary, secondary: secondary, flows: flows))
    }
    report.failures = director?.failureReport ?? []
    report.migrations = director?.migrationReport ?? []
    report.latency = egress.pointee.latency.steps()
    report.violations = violations(report, drained: drained)
    return report
  }

  private func violations(_ report: PipelineReport, drained: Bool) -> [String] {
    var found: [String] = []
    func check(_ holds: Bool, _ text: @autoclosure () -> String) {
      if !holds { found.append(text()) }
    }
    check(
      drained,
      "stalled: \(report.received) received, \(report.stamped) stamped, \(report.processed) processed, \(report.released) released, \(report.transmitted) transmitted; in flight "
        + report.pairs.map {
          "pair \($0.pair): \($0.batchesInFlight) batches, \($0.pendingNow) pending, \($0.heldNow) held"
        }
        .joined(separator: "; "))
    let unstamped = report.droppedUnstamped
    check(report.mirrorLost == 0, "\(report.mirrorLost) stamped packets are missing in --stamped-out")
    check(
      report.received == report.stamped + unstamped,
      "received \(report.received) is not stamped \(report.stamped) plus dropped before stamping \(unstamped)")
    // A copy that finds no room is asked for again; without gap repair it is lost.
    let fatal: [DropReason] =
      configuration.replication.gapTimeout == 0 ? [.outsideWindow, .pendingFull] : [.outsideWindow]
    for reason in fatal {
      check(report.drops[reason] == nil, "\(report.drops[reason] ?? 0) stamped packets dropped: \(reason.rawValue)")
    }
    if drained {
      if director == nil {
        check(
          report.processed + report.destroyedEverywhere == report.stamped,
          "stamped \(report.stamped) but processed \(report.processed)"
            + (configuration.loss > 0 ? " and destroyed on every way \(report.destroyedEverywhere)" : ""))
        check(
          report.declaredLost <= report.destroyedEverywhere,
          "declared lost \(report.declaredLost), but only \(report.destroyedEverywhere) were destroyed on every way")
        check(
          report.processed == report.released + report.droppedByFunction,
          "processed \(report.processed) is not released \(report.released) plus dropped by the NF \(report.droppedByFunction)"
        )
        check(
          report.released == report.transmitted + report.suppressed,
          "released \(report.released) is not transmitted \(report.transmitted) plus suppressed \(report.suppressed)")
      } else if report.droppedByFunction == 0 {
        // Packets are processed and released again after a failure; out they go once. What was destroyed on one way may
        // have been lost with the replica that had it: then it is declared lost.
        // What was lost with both replicas of a pair is known to the packet.
        let lost = report.lostWithPairs
        let missing = report.stamped - min(report.stamped, report.transmitted + lost)
        check(
          report.transmitted + lost <= report.stamped && missing <= report.destroyedEverywhere + report.declaredLost,
          "stamped \(report.stamped) but transmitted \(report.transmitted)"
            + (lost > 0 ? " and lost with both replicas \(lost)" : "")
            + (configuration.loss > 0
              ? "; destroyed on every way \(report.destroyedEverywhere), declared lost \(report.declaredLost)" : ""))
      }
      for digest in report.digests {
        check(
          digest.secondary == nil || digest.secondary == digest.primary,
          "pair \(digest.pair): the replicas' states differ")
      }
      if let preloaded = ports.preloaded {
        let inUse = cd_pool_in_use(ports.pool)
        check(inUse == preloaded, "\(Int(inUse) - Int(preloaded)) packet buffers were not given back")
      }
    }
    found += director?.violations ?? []
    for pair in report.pairs {
      let odd =
        pair.primary.impossibleMessages + pair.primary.staleEpochMessages + (pair.secondary?.impossibleMessages ?? 0)
        + (pair.secondary?.staleEpochMessages ?? 0)
      check(odd == 0, "pair \(pair.pair): \(odd) messages that no correct peer sends")
    }
    var counters = cd_port_counters()
    // A capture's packets are lost when there is no buffer; a real port's wait or are counted as missed by the port.
    if ports.preloaded != nil, cd_port_counters(ports.source, &counters) == 0 {
      check(counters.rx_no_buffer == 0, "the source lost \(counters.rx_no_buffer) packets for want of buffers")
    }
    return found
  }
}
