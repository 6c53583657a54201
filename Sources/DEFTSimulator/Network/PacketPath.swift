import DEFTCore

/// The way of packets from a stage to the next: in order, unless this run's faults say otherwise.
struct PacketPath {
  enum Destination { case primary, secondary, egress }
  let destination: Destination
  let pair: Int
  /// Packets under way.
  var inFlight = 0
  /// When the last one in order comes out.
  private var lastDue: UInt64 = 0

  init(to destination: Destination, pair: Int) {
    self.destination = destination
    self.pair = pair
  }

  /// When a packet that is sent now comes out; nil: never.
  mutating func due(_ simulation: Simulation) -> UInt64? {
    let options = simulation.options
    let isFaulty = simulation.hasFaults
    let losing: Fault = destination == .egress ? .releaseLoss : .loss
    if isFaulty, options.faults.contains(losing), simulation.random.oneIn(options.packetFaults) {
      simulation.occurrences.note(losing)
      return nil
    }
    inFlight += 1
    var due = simulation.now + 1 + simulation.random.below(options.pathLatency)
    if isFaulty {
      let shuffling: Fault = destination == .egress ? .releaseReordering : .reordering
      if options.faults.contains(shuffling), simulation.random.oneIn(options.packetFaults) {
        simulation.occurrences.note(shuffling)
        return due + simulation.random.below(options.pathLatency * 4)
      }
      if destination != .egress, options.faults.contains(.delay), simulation.random.oneIn(options.packetFaults * 3) {
        simulation.occurrences.note(.delay)
        return due + simulation.random.below(options.faultInterval)
      }
    }
    due = max(due, lastDue)
    lastDue = due
    return due
  }
}
