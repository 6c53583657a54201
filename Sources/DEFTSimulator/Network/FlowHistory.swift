import DEFTCore
import DEFTWire

/// What one flow generation must do: one run of the NF over the stamped sequence, without replicas, batches or paths; and
/// how far the system has got with it, as seen from outside.
final class FlowHistory {
  struct Stamped {
    let frame: UnsafeMutableRawPointer
    let layout: FrameLayout
    let time: UInt64
    /// Replicas that hold or held it: a bit each.
    var heldBy: UInt64 = 0
    /// A copy of it did not arrive, or found no room.
    var hasLostCopy = false
  }
  /// After the packet of a counter.
  struct Point {
    var state: SimulatedFunction.State
    var lastPassed: UInt32
    var time: UInt64
    var isClosed: Bool
    /// It leaves the primary: passed by the NF, or a close marker.
    var leaves: Bool
  }
  let flowID: UInt32
  /// The pair that owns it, by the map.
  var pair: Int
  private(set) var stamped: [Stamped] = []
  private var points: [Point] = []
  /// The last counter that egress let out.
  var out: UInt32 = 0
  /// How far it had been let out when a new egress was told to begin further back, and by which pair's stream (R12).
  var outBefore: (counter: UInt32, pair: Int, stream: UInt32) = (0, 0, 0)
  /// What egress let out, and what primaries released, close markers among them, for scenarios.
  var transmitted: [UInt32] = []
  var released: [UInt32] = []
  /// Counters below these have been voted for, and were in a state clock that the secondary applied.
  var votedNext: UInt32 = 1
  var appliedNext: UInt32 = 1
  var isClosing = false
  /// Both replicas of its pair were lost: the epoch since which it is over, and whatever is not out may be missing.
  var endedIn: UInt32?
  /// Per replica: counters below this are all held.
  private var heldBelow = [UInt32](repeating: 1, count: FlowHistory.replicas)
  /// Replicas that a pair can have in one run.
  static let replicas = 64
  /// Counters that a vote has bound lost (R5), or the primary alone where there is none to vote (R7).
  private(set) var lost: Set<UInt32> = []
  /// Counters that each replica, as primary, has declared lost.
  private var declaredLost: [Int: Set<UInt32>] = [:]

  init(flowID: UInt32, pair: Int) {
    self.flowID = flowID
    self.pair = pair
  }

  var next: UInt32 { UInt32(stamped.count) + 1 }

  func stamp(_ packet: Stamped) { stamped.append(packet) }

  /// The sequential run after everything below `next`; nil if that was never stamped.
  func point(before next: UInt32, _ function: SimulatedFunction) -> Point? {
    guard next >= 1, Int(next) - 1 <= stamped.count else { return nil }
    while points.count < Int(next) - 1 { extend(function) }
    return next == 1 ? beginning : points[Int(next) - 2]
  }

  private var beginning: Point {
    Point(state: SimulatedFunction.initialState, lastPassed: 0, time: 0, isClosed: false, leaves: false)
  }

  private func extend(_ function: SimulatedFunction) {
    var point = points.last ?? beginning
    let packet = stamped[points.count]
    let counter = UInt32(points.count) + 1
    if lost.contains(counter) {
      point.leaves = false
      points.append(point)
      return
    }
    if !packet.layout.isCloseMarker { point.time = max(point.time, packet.time) }
    if packet.layout.isCloseMarker {
      point.leaves = true
      point.isClosed = true
      point.state = SimulatedFunction.initialState
    } else {
      let view = PacketView(
        frame: packet.frame, length: SimulatedPacket.frameBytes, contiguous: SimulatedPacket.frameBytes,
        layout: packet.layout)
      let context = PacketContext(time: point.time, counter: counter)
      if case .pass = function.process(view, &point.state, context) { point.leaves = true } else { point.leaves = false }
    }
    if point.leaves { point.lastPassed = counter }
    points.append(point)
  }

  /// The counter that egress must let out next; nil: none of those stamped.
  func nextLeaving(_ function: SimulatedFunction) -> UInt32? {
    var counter = out + 1
    while counter < next {
      if point(before: counter + 1, function)!.leaves { return counter }
      counter += 1
    }
    return nil
  }

  // MARK: who has what

  private func exists(_ counter: UInt32) -> Bool { counter >= 1 && counter < next }

  /// False: that replica has it already.
  func hold(_ counter: UInt32, _ mark: Int) -> Bool {
    guard exists(counter), !isHeld(counter, mark) else { return false }
    stamped[Int(counter) - 1].heldBy |= 1 << UInt64(mark)
    return true
  }
  func isHeld(_ counter: UInt32, _ mark: Int) -> Bool {
    exists(counter) && (counter < heldBelow[mark] || isMarked(counter, mark))
  }
  /// The replica had it, has not processed it, and gives it up.
  func noLongerHolds(_ counter: UInt32, _ mark: Int) {
    guard exists(counter) else { return }
    stamped[Int(counter) - 1].heldBy &= ~(1 << UInt64(mark))
    heldBelow[mark] = min(heldBelow[mark], counter)
  }
  /// The replica has the flow's state as of everything below `next`: it needs none of those packets.
  func holdAll(below next: UInt32, _ mark: Int) { heldBelow[mark] = max(heldBelow[mark], next) }

  /// The replica has forwarded it: it is another's. (What its state covers it only had twice.)
  func giveAway(_ counter: UInt32, _ mark: Int) {
    guard exists(counter), counter >= appliedNext else { return }
    stamped[Int(counter) - 1].heldBy &= ~(1 << UInt64(mark))
    heldBelow[mark] = min(heldBelow[mark], counter)
  }

  /// The first counter that the replica does not hold, and that is not lost. `declared`: or only declared lost, which counts
  /// for the primary that declared it.
  func firstNotHeld(_ mark: Int, declared: Bool = false) -> UInt32 {
    if declared {
      var counter = heldBelow[mark]
      while isMarked(counter, mark) || lost.contains(counter) || declaredLost[mark]?.contains(counter) ?? false {
        counter += 1
      }
      return counter
    }
    while isHeld(heldBelow[mark], mark) || isMarked(heldBelow[mark], mark) || lost.contains(heldBelow[mark]) {
      heldBelow[mark] += 1
    }
    return heldBelow[mark]
  }
  private func isMarked(_ counter: UInt32, _ mark: Int) -> Bool {
    exists(counter) && stamped[Int(counter) - 1].heldBy & 1 << UInt64(mark) != 0
  }

  func declareLost(_ counter: UInt32, _ mark: Int) { declaredLost[mark, default: []].insert(counter) }
  func declared(by mark: Int) -> Set<UInt32> { declaredLost[mark] ?? [] }

  /// The packet is lost for good.
  func lose(_ counter: UInt32) {
    lost.insert(counter)
    if points.count >= Int(counter) { points.removeLast(points.count - Int(counter) + 1) }
  }

  func noteLostCopy(_ counter: UInt32) {
    if exists(counter) { stamped[Int(counter) - 1].hasLostCopy = true }
  }
  func hasLostCopy(_ counter: UInt32) -> Bool { exists(counter) && stamped[Int(counter) - 1].hasLostCopy }

  /// Its stamping unit has failed: what it stamped from `end` on never was, for nobody has it.
  func truncate(to end: UInt32) {
    stamped.removeLast(Int(next - end))
    if points.count > stamped.count { points.removeLast(points.count - stamped.count) }
    declaredLost = declaredLost.mapValues { $0.filter { $0 < end } }
    for mark in heldBelow.indices { heldBelow[mark] = min(heldBelow[mark], end) }
    isClosing = false
  }
  /// Somebody has had, or was told of, some of it.
  func isKnown(to marks: [Int]) -> Bool {
    out > 0 || votedNext > 1 || appliedNext > 1 || !lost.isEmpty
      || (1..<next).contains { counter in marks.contains { isHeld(counter, $0) } }
  }

  /// The last packet is lost, and nobody can know that it was ever stamped: nothing came after it.
  func forgetLast() {
    stamped.removeLast()
    if points.count > stamped.count { points.removeLast() }
  }

  /// What a replica's digest must count for this flow at rest.
  func digest(_ function: SimulatedFunction) -> UInt64 {
    let point = point(before: next, function)!
    var flow = FlowState(beginning: flowID, point.state)
    flow.lastPassed = point.lastPassed
    flow.time = point.time
    flow.isClosed = point.isClosed
    return flow.digest(next: next)
  }
}
