/// One move of one flow group from a pair to another, as whoever leads it sees it (R11; paper, V). It decides nothing: the
/// map does, by compare-and-set, and if the leader dies any other may go on from what the map says. It says what is due.
///
/// | phase | on | to | due |
/// |---|---|---|---|
/// | idle | the map: moving | copying | `tell` |
/// | copying | the source has copied all, freezes and drains | draining | – |
/// | draining | it sends | moving | – |
/// | moving | it says complete | staged | `propose(commit)` |
/// | copying … staged | the source does not move it (any more); the leader gives up | (same) | `propose(undo)` |
/// | idle … staged | the map: settled at the source | undone | `tell` |
/// | idle … staged | the map: inheriting | committed | `tell`, then the switches' rules |
/// | committed | every unit has the rule | forwarding | `watchDrain` |
/// | committed, forwarding | the map: one source less | (same) | `tell` |
/// | committed, forwarding | the map: settled at the target | done | `tell` |
/// | idle … staged | the map: settled at the target (its entries were not all seen) | done | `tell`, the switches' rules |
/// | copying … staged | the map: moving, anew | undone | `tell` |
///
/// Prohibited: undone behind committed; done before every unit has the rule, unless both sources are dead; any rule changed
/// before committed; a thaw at the source, or a discard at the target, before undone.
public struct GroupMigration: Sendable {
  public enum Phase: Int, Sendable, Comparable, CaseIterable {
    case idle, copying, draining, moving, staged, committed, forwarding, done, undone
    public static func < (a: Phase, b: Phase) -> Bool { a.rawValue < b.rawValue }
  }

  /// What the leader has to do.
  public enum Due: Sendable, Equatable {
    case nothing
    /// Ask the map; its answer comes as `learn`, or not at all: then ask again, or give up.
    case propose(GroupTransition)
    /// Give the map's entry to the replicas of both pairs (`learn(_:group:)`): order does not matter between them.
    case tell
    /// As `tell`, and then the rule of every stamping unit's switch, between bursts.
    case tellAndChangeRule
    /// For each replica of the source that lives: once it has taken what lies in its input now, keeps nothing of the group
    /// any more, and what it has forwarded has arrived, propose `drained`. (A stamping unit that was replaced and has not learnt
    /// of the rule is one to which the replica has to be shut.)
    case watchDrain
  }

  public let group: Int
  public let source: Int
  public let target: Int
  public private(set) var phase = Phase.idle
  /// Of the map's entry seen last: what proposals compare.
  public private(set) var version: UInt32

  public init(group: Int, to target: Int, _ assignment: GroupAssignment) {
    precondition(target != assignment.pair)
    self.group = group
    source = assignment.pair
    self.target = target
    version = assignment.version
  }

  /// What to ask the map first.
  public var begin: GroupTransition { .begin(to: target) }
  public var isOver: Bool { phase >= .done }

  /// The map's entry, in order; one that is known already changes nothing.
  public mutating func learn(_ assignment: GroupAssignment) -> Due {
    guard assignment.version > version, !isOver else { return .nothing }
    version = assignment.version
    switch (assignment.phase, phase) {
    case (.moving, .idle):
      phase = .copying
      return .tell
    case (.inheriting, .idle), (.inheriting, .copying), (.inheriting, .draining), (.inheriting, .moving),
      (.inheriting, .staged):
      // Another leader may have seen it staged; this one sees the map's entries as they come, perhaps not all of them.
      phase = .committed
      return .tellAndChangeRule
    case (.inheriting, .committed), (.inheriting, .forwarding): return .tell
    case (.settled, .committed), (.settled, .forwarding):
      phase = .done
      return .tell
    case (.settled, _) where assignment.pair != source:
      phase = .done
      return .tellAndChangeRule
    default:
      // Settled at the source, or by now another leader's.
      phase = .undone
      return .tell
    }
  }

  /// How far the source's primary is (`PrimaryReplica.moveStatus`), after it was told.
  public mutating func learn(_ status: MoveStatus) -> Due {
    guard phase > .idle, phase < .committed else { return .nothing }
    switch status {
    case .none: return .propose(.undo)
    case .copying: break
    case .draining: phase = max(phase, .draining)
    case .sending: phase = max(phase, .moving)
    case .complete:
      phase = .staged
      return .propose(.commit)
    }
    return .nothing
  }

  /// It takes too long, or is not wanted any more. Behind the commit there is nothing to give up.
  public func giveUp() -> Due { phase > .idle && phase < .committed ? .propose(.undo) : .nothing }

  /// Every stamping unit's switch has the rule.
  public mutating func ruleChanged() -> Due {
    guard phase == .committed else { return .nothing }
    phase = .forwarding
    return .watchDrain
  }
}
