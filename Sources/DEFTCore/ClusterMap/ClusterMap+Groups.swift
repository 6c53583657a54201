// Flow groups in the cluster map.
extension ClusterMap {
  public var groupCount: Int { groups.count }
  public func group(_ group: Int) -> GroupAssignment { groups[group] }

  /// Changes the assignment of `group` if its version is `version` and the table of `GroupAssignment` has the transition.
  public mutating func propose(_ transition: GroupTransition, group: Int, ifVersion version: UInt32) -> GroupOutcome {
    guard groups.indices.contains(group) else { return .refused(.unknownGroup) }
    let assignment = groups[group]
    guard assignment.version == version else { return .refused(.otherVersion) }
    switch (transition, assignment.phase) {
    case (.begin(let target), .settled):
      guard target != assignment.pair, (0..<pairCount).contains(target) else { return .refused(.target) }
      guard self[assignment.pair].standing == .inSync, self[target].standing == .inSync else {
        return .refused(.standing)
      }
      guard self[assignment.pair].egress == self[target].egress else { return .refused(.egress) }
      let epochs = (self[assignment.pair].epoch, self[target].epoch)
      groups[group].change(.moving(to: target, sourceEpoch: epochs.0, targetEpoch: epochs.1))
    case (.commit, .moving(let target, let sourceEpoch, let targetEpoch)):
      let (source, owner) = (self[assignment.pair], self[target])
      guard source.epoch == sourceEpoch, owner.epoch == targetEpoch else { return .refused(.otherEpoch) }
      guard owner.standing == .inSync else { return .refused(.standing) }
      groups[group].pair = target
      groups[group].change(
        .inheriting(from: assignment.pair, primary: source.primary, secondary: source.secondary))
    case (.undo, .moving): groups[group].change(.settled)
    case (.drained(let node), .inheriting(_, let primary, let secondary)):
      guard node == primary || node == secondary else { return .refused(.phase) }
      groups[group].forget(node)
    case (.begin, .moving), (.begin, .inheriting), (.commit, .settled), (.commit, .inheriting), (.undo, .settled),
      (.undo, .inheriting), (.drained, .settled), (.drained, .moving):
      return .refused(.phase)
    }
    return .accepted
  }

  /// A pair has a new epoch: moves that it had a part in and that were not committed are undone, and a node that has no
  /// part in it any more has nothing more to forward that anybody would wait for; nor has one that begins with nothing.
  mutating func groupsFollow(_ pair: Int, from before: PairAssignment, isRestart: Bool) {
    undoMoves(of: pair)
    let now = self[pair]
    for group in groups.indices {
      guard case .inheriting(let source, _, _) = groups[group].phase, source == pair else { continue }
      for node in [before.primary, before.secondary] {
        if let node, isRestart || (node != now.primary && node != now.secondary) { groups[group].forget(node) }
      }
    }
  }

  /// Those to it and from it that were not committed.
  mutating func undoMoves(of pair: Int) {
    for group in groups.indices {
      guard case .moving(let target, _, _) = groups[group].phase, groups[group].pair == pair || target == pair else {
        continue
      }
      groups[group].change(.settled)
    }
  }
}

extension GroupAssignment {
  fileprivate mutating func change(_ phase: Phase) {
    self.phase = phase
    version += 1
  }

  /// No change if it is not waited for.
  fileprivate mutating func forget(_ node: NodeID) {
    guard case .inheriting(let source, let primary, let secondary) = phase, node == primary || node == secondary else {
      return
    }
    let rest = (primary: primary == node ? nil : primary, secondary: secondary == node ? nil : secondary)
    guard rest.primary != nil || rest.secondary != nil else { return change(.settled) }
    change(.inheriting(from: source, primary: rest.primary, secondary: rest.secondary))
  }
}
