/// Something that `deft replay` makes happen at a packet.
enum PlannedChange: Sendable {
  case failure(PlannedFailure)
  case migration(PlannedMigration)

  var packet: UInt64 {
    switch self {
    case .failure(let failure): failure.packet
    case .migration(let migration): migration.packet
    }
  }
  var name: String {
    switch self {
    case .failure(let failure): "failure of the \(failure.victim.rawValue) of pair \(failure.pair)"
    case .migration(let migration): "migration from pair \(migration.source) to pair \(migration.target)"
    }
  }
}

extension PipelineConfiguration {
  /// In the order of their packets.
  var changes: [PlannedChange] {
    (failures.map(PlannedChange.failure) + migrations.map(PlannedChange.migration)).sorted { $0.packet < $1.packet }
  }
  /// Packets of groups that `source` once owned may have to be sent on to `target`.
  func forwards(from source: Int, to target: Int) -> Bool {
    source != target && migrations.contains { $0.source == source } && migrations.contains { $0.target == target }
  }
  /// Groups move between these pairs, in either direction.
  func moves(_ pair: Int, _ other: Int) -> Bool {
    migrations.contains { $0.source == pair && $0.target == other || $0.source == other && $0.target == pair }
  }
}
