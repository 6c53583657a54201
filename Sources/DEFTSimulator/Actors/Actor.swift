/// A stage that gets its turn again and again, as on an lcore.
protocol Actor: AnyObject {
  /// Place in `Simulation.actors`.
  var index: Int { get }
  var name: String { get }
  /// One turn. Returns how much it moved.
  func poll() -> Int
}

/// When an actor has its turns.
struct Turn {
  /// The time of the turn that is scheduled; other poll events are void.
  var due: UInt64 = 0
  /// Turns in a row that moved nothing: the next ones are further apart.
  var idle = 0
  /// It stands still until then.
  var stalledUntil: UInt64 = 0
}
