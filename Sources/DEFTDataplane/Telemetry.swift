import CDPDK
import DEFTCore

/// `/deft/lcores`, `/deft/pairs` and `/deft/batches` on DPDK's telemetry socket (dpdk-telemetry.py). The callbacks run on DPDK's
/// telemetry thread and read counters that the lcores own.
public enum Telemetry {
  nonisolated(unsafe) private static var pipeline: (any AnyPipeline)?

  /// Once per process, before the pipeline starts.
  public static func publish(_ pipeline: any AnyPipeline) {
    guard Self.pipeline == nil else { return }
    Self.pipeline = pipeline
    _ = cd_telemetry_register(
      "/deft/lcores", { _, _, data in Telemetry.answer(data, Telemetry.lcores) },
      "Counters of each worker lcore. Takes no parameters")
    _ = cd_telemetry_register(
      "/deft/pairs", { _, _, data in Telemetry.answer(data, Telemetry.pairs) },
      "Packets of each primary and secondary. Takes no parameters")
    _ = cd_telemetry_register(
      "/deft/batches", { _, _, data in Telemetry.answer(data, Telemetry.batches) },
      "Batches and state clocks of each pair. Takes no parameters")
  }

  private typealias Entry = (name: String, values: [(String, UInt64)])

  private static func answer(_ data: OpaquePointer?, _ entries: (PipelineReport) -> [Entry]) -> Int32 {
    guard let data, let pipeline else { return -1 }
    cd_telemetry_begin_dictionary(data)
    for entry in entries(pipeline.report()) {
      guard let child = cd_telemetry_new_dictionary() else { return -1 }
      for (name, value) in entry.values { cd_telemetry_add_uint(child, name, value) }
      cd_telemetry_add_dictionary(data, entry.name, child)
    }
    return 0
  }

  private static func lcores(_ report: PipelineReport) -> [Entry] {
    report.lcores.map { lcore in
      (
        "\(lcore.lcore)",
        [
          ("received", lcore.counters.received), ("processed", lcore.counters.processed),
          ("transmitted", lcore.counters.transmitted), ("rounds", lcore.counters.rounds), ("naps", lcore.counters.naps),
          ("busy_cycles", lcore.counters.busyCycles), ("total_cycles", lcore.counters.totalCycles),
        ]
      )
    }
  }
  private static func pairs(_ report: PipelineReport) -> [Entry] {
    report.pairs.map { pair in
      (
        "\(pair.pair)",
        [
          ("received", pair.primary.received), ("processed", pair.primary.processed),
          ("dropped_by_function", pair.primary.droppedByFunction), ("released", pair.primary.released),
          ("pending", UInt64(pair.pendingNow)), ("held_by_secondary", UInt64(pair.heldNow)),
          ("duplicates", pair.primary.duplicates), ("stale_generation", pair.primary.staleGeneration),
          ("pending_full", pair.primary.pendingFull), ("outside_window", pair.primary.outsideWindow),
        ]
      )
    }
  }
  private static func batches(_ report: PipelineReport) -> [Entry] {
    report.pairs.map { pair in
      (
        "\(pair.pair)",
        [
          ("prepared", pair.primary.batchesPrepared), ("voted", pair.primary.batchesVoted),
          ("in_flight", UInt64(pair.batchesInFlight)), ("in_flight_high_water", pair.primary.batchesInFlightHighWater),
          ("state_clocks_taken", pair.primary.stateClocksTaken),
          ("state_clocks_applied", pair.primary.stateClocksApplied),
          ("votes_delayed", pair.secondary?.votesDelayed ?? 0),
        ]
      )
    }
  }
}
