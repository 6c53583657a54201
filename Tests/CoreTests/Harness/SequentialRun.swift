import DEFTCore
import DEFTWire

/// What one flow generation must do: one run of the NF over the stamped sequence, without replicas, batches or paths.
/// Also how far the system has got with it, as seen from outside.
struct SequentialRun {
  /// After the packet of a counter.
  struct Point {
    var state: ScriptedFunction.State
    var lastPassed: UInt32
    var time: UInt64
    var isClosed: Bool
  }
  let flowID: UInt32
  let first: UInt32
  private(set) var points: [Point] = []
  /// What was stamped; no word: the close marker.
  private var stamped: [(word: UInt64?, time: UInt64, isLost: Bool)] = []
  /// Counters that leave the primary, the close marker among them, with the one that each names as its previous.
  private(set) var leaving: [(counter: UInt32, previous: UInt32, isMarker: Bool)] = []
  var released = 0
  var out = 0
  /// Counters below these: seen by the primary and by the secondary, voted for, acknowledged, applied.
  var atPrimary: Arrivals
  var atSecondary: Arrivals
  var votedNext: UInt32
  var appliedNext: UInt32
  /// The last leaving counter that egress has acknowledged.
  var acknowledged: UInt32

  init(flowID: UInt32, first: UInt32) {
    self.flowID = flowID
    self.first = first
    atPrimary = Arrivals(next: first)
    atSecondary = Arrivals(next: first)
    votedNext = first
    appliedNext = first
    acknowledged = first &- 1
  }

  var next: UInt32 { first &+ UInt32(points.count) }
  /// Before the first packet: nothing passed (R1).
  private var last: Point {
    points.last ?? Point(state: ScriptedFunction.initialState, lastPassed: first &- 1, time: 0, isClosed: false)
  }
  /// State after everything below `next`; nil if that was never stamped.
  func point(before next: UInt32) -> Point? {
    let index = Int(next &- first) - 1
    return points.indices.contains(index) ? points[index] : nil
  }

  mutating func stamp(_ word: UInt64, time: UInt64, _ function: ScriptedFunction) {
    stamped.append((word, time, false))
    run(word, time: time, function)
  }

  /// The packet was declared lost before it was processed: what is left is a run of the others.
  mutating func lose(_ counter: UInt32, _ function: ScriptedFunction) {
    let index = Int(counter &- first)
    stamped[index].isLost = true
    points.removeLast(points.count - index)
    leaving.removeAll { !$0.counter.isSeriallyBefore(counter) }
    for (word, time, isLost) in stamped[index...] {
      if isLost {
        points.append(last)
      } else if let word {
        run(word, time: time, function)
      } else {
        end()
      }
    }
  }

  private mutating func run(_ word: UInt64, time: UInt64, _ function: ScriptedFunction) {
    var point = last
    let counter = next
    point.time = max(point.time, time)
    let context = PacketContext(time: point.time, counter: counter)
    if function.process(word, &point.state, context) == .pass {
      leaving.append((counter, point.lastPassed, false))
      point.lastPassed = counter
    }
    points.append(point)
  }

  mutating func close(time: UInt64) {
    stamped.append((nil, time, false))
    end()
  }

  /// The end of a flow has no time of its own.
  private mutating func end() {
    var point = last
    leaving.append((next, point.lastPassed, true))
    point = Point(
      state: ScriptedFunction.initialState, lastPassed: next, time: point.time, isClosed: true)
    points.append(point)
  }

  /// Stamp time of the last packet.
  var lastStampTime: UInt64 { stamped.last?.time ?? 0 }

  var isComplete: Bool {
    released == leaving.count && out == leaving.count && atPrimary.next == next && atSecondary.next == next
      && appliedNext == next
  }

  /// What both replicas' digests must count for this flow at rest.
  func digest() -> UInt64 {
    var flow = FlowState(beginning: flowID, last.state)
    flow.lastPassed = last.lastPassed
    flow.time = last.time
    flow.isClosed = last.isClosed
    return flow.digest(next: next)
  }
}

/// Which counters have arrived somewhere.
struct Arrivals {
  private(set) var next: UInt32
  private var ahead: Set<UInt32> = []

  init(next: UInt32) { self.next = next }

  func has(_ counter: UInt32) -> Bool { counter.isSeriallyBefore(next) || ahead.contains(counter) }
  /// False: it was here already.
  mutating func insert(_ counter: UInt32) -> Bool {
    guard !has(counter) else { return false }
    ahead.insert(counter)
    while ahead.remove(next) != nil { next &+= 1 }
    return true
  }
}
