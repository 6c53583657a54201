/// What may go wrong in a run. Each kind is on or off per run (swarm testing), so that some runs have one kind alone.
public enum Fault: Int, CaseIterable, Sendable {
  /// A packet does not arrive.
  case loss
  /// A released packet does not arrive at egress.
  case releaseLoss
  /// A packet arrives twice, the second perhaps much later.
  case duplication
  case reordering
  /// A packet is far behind the others of its path.
  case delay
  /// The way to egress shuffles.
  case releaseReordering
  /// A control connection ends; what was under way on it, a suffix of each direction, is lost.
  case cut
  /// One direction of a control connection carries nothing any more; the connection ends some time later.
  case oneWayDead
  case slowLink
  /// A stage stands still for a while, and goes on as if nothing had been.
  case stall
  /// A node fails, with everything that it holds.
  case crash
  /// A node is declared dead that lives, and goes on until it learns so.
  case falseSuspicion
  /// A node that failed comes back, with nothing.
  case restart
  /// Egress fails, with all that it has let out and nobody knows of; another takes its place.
  case egressCrash
  /// A stamping unit fails, with its table of flows; another takes its place.
  case stamperCrash
  /// A stamping unit is declared dead that lives, and goes on stamping until it learns so.
  case stamperSuspicion
  /// A stamping unit's clock jumps, forward or back.
  case clockStep
  /// The packet pool is small.
  case smallPool
  /// The rings between stages are small.
  case smallRings
  /// The logs have room for a single message.
  case smallLogs
  /// A packet arrives whose counter is far from any that its flow may have: a stamp that was damaged (R18).
  case stray

  /// Both replicas of a pair fail at once; or its primary alone while no secondary is in sync. Their states are lost.
  case groupLoss

  /// As it is called on the command line and in summaries.
  public var name: String { "\(self)" }
}

/// Which faults a run may have.
public struct FaultSet: Sendable, Equatable {
  private var bits: UInt64
  public static let none = FaultSet(bits: 0)
  public static let all = FaultSet(bits: .max)
  private init(bits: UInt64) { self.bits = bits }

  public func contains(_ fault: Fault) -> Bool { bits & 1 << UInt64(fault.rawValue) != 0 }
  public mutating func set(_ fault: Fault, _ isOn: Bool) {
    bits = isOn ? bits | 1 << UInt64(fault.rawValue) : bits & ~(1 << UInt64(fault.rawValue))
  }
  /// Those that a run draws in any case; the others have a generator of their own.
  static let drawn = Fault.allCases.filter { $0 != .groupLoss }
  public var list: [Fault] { Fault.allCases.filter(contains) }
}
