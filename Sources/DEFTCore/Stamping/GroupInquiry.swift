/// What a stamping unit that takes the place of one that failed still has to ask about its slots of one flow group (paper,
/// VI-C; R16). It asks the replicas that the map names for the group's owner; if both are lost, egress; and nobody else.
///
/// | phase | on | to |
/// |---|---|---|
/// | waiting | the map: the owner inherits from nobody (any more) | asking |
/// | asking | both replicas, or the one that there is, have told all that they have (`told`) | known |
/// | waiting, asking | the owner's primary begins with nothing, and awaits this unit's floors (`ownerHasNothing`) | lost |
/// | lost | egress has told what generations it has had | known: all that was is over (`resolveLost`) |
/// | asking, lost | another version of the group's entry, or another epoch of its pair | waiting or asking, from the beginning; what was reported stays |
///
/// Prohibited: reports of two versions of the entry, or of two epochs, put together (a packet may have moved between two that
/// never reported together); known while the owner inherits, unless its states are lost (former owners drain into a primary that
/// takes nothing before it has the unit's floors, and what they bring is of generations that are over).
///
/// **Why nobody else is asked.** While a group moves, its packets and flows are the owner's: what the target has is a part of
/// it. After the commit the former owners have what came to them, and forward it; the owner inherits from them until all of it
/// has arrived (R11). If the unit is behind the map, and the replicas that it asks are, they have forwarded nothing before they
/// reported. A former owner that the map waits for no more is dead, or what it forwards is not taken
/// (`GroupAssignment.expects`).
///
/// **Why nobody waits for ever.** A move needs nothing of a unit that recovers but its rule, which it has. And a group's entry
/// stands still between two steps of a move for much longer than a report takes.
public struct GroupInquiry: Sendable, Equatable {
  public enum Phase: Sendable { case waiting, asking, lost, known }
  public enum Reporter: Sendable, CaseIterable { case primary, secondary, egress }
  public private(set) var phase: Phase
  /// Of the group's entry, and of its pair: a replica that knows others may not report (`mayReport`).
  public private(set) var version: UInt32 = 0
  public private(set) var epoch: UInt32 = 0
  /// The next slot that each has to report; -1: first what waits.
  private var primary = -1
  private var secondary = -1
  private var egress = 0
  private let slots: Int

  /// - Parameters: slots: of the unit; isKnown: the unit has none in this group, or is not in anybody's place.
  public init(slots: Int, isKnown: Bool) {
    self.slots = slots
    phase = isKnown ? .known : .waiting
  }

  /// The map as the unit knows it; before each question. True: it begins anew.
  public mutating func learn(_ group: GroupAssignment, _ pair: PairAssignment) -> Bool {
    guard phase != .known, group.version != version || pair.epoch != epoch else { return false }
    let isAnew = phase != .waiting
    (version, epoch) = (group.version, pair.epoch)
    (primary, secondary, egress) = (-1, pair.secondary == nil ? slots : -1, 0)
    phase = group.isInheriting ? .waiting : .asking
    return isAnew
  }

  /// The pair's primary, of this epoch, says that both replicas were lost, and that no incarnation of the unit has told it which
  /// generations are over. Who knows of them, if the unit does not, is egress.
  public mutating func ownerHasNothing() {
    if phase == .waiting || phase == .asking { phase = .lost }
  }

  /// What that one has to report next: -1: what waits; otherwise the slots from there on. nil: nothing (now).
  public func due(_ reporter: Reporter) -> Int? {
    let place: Int
    switch (phase, reporter) {
    case (.asking, .primary): place = primary
    case (.asking, .secondary): place = secondary
    case (.lost, .egress): place = egress
    default: return nil
    }
    return place < slots ? place : nil
  }
  /// It has, up to that slot; or what waits, if that is 0. True: that was all; the slots are to be resolved.
  public mutating func told(_ reporter: Reporter, upTo end: Int) -> Bool {
    guard due(reporter) != nil else { return false }
    switch reporter {
    case .primary: primary = min(end, slots)
    case .secondary: secondary = min(end, slots)
    case .egress: egress = min(end, slots)
    }
    guard phase == .lost ? egress == slots : primary == slots && secondary == slots else { return false }
    phase = .known
    return true
  }
}
