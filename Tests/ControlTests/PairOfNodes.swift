import DEFTMailbox
import DEFTWire
import Testing

@testable import DEFTControl

/// Two nodes, one pair, two fake lcores that the test's thread runs by turns.
final class PairOfNodes {
  let primaryNode: ControlNode
  let secondaryNode: ControlNode
  let primary: FakePrimary
  let secondary: FakeSecondary
  let pair: UInt16 = 7

  init(
    logCapacity: Int = 1 << 16, inboxCapacity: Int = 1 << 16, longest: (prepare: Int, commit: Int) = (60, 40),
    on thread: ControlThread? = nil
  ) throws {
    primaryNode = try ControlNode(nodeID: 1, on: thread, logger: quiet)
    secondaryNode = try ControlNode(nodeID: 2, on: thread, logger: quiet)
    primary = FakePrimary(pair: pair, bell: primaryNode.doorbell, logCapacity: logCapacity)
    secondary = FakeSecondary(pair: pair, bell: secondaryNode.doorbell, inboxCapacity: inboxCapacity)
    primary.longest = longest
    secondary.longest = longest
    try secondaryNode.addSecondary(secondary.endpoint())
    let port = try secondaryNode.start()
    _ = try primaryNode.start()
    try primaryNode.addPrimary(primary.endpoint(), connectTo: "127.0.0.1", port: port)
  }

  /// Ends both nodes; nothing may be left of them.
  func stop() {
    primaryNode.stop()
    secondaryNode.stop()
    primary.free()
    secondary.free()
  }

  /// Runs the fake lcores until the first `batches` batches are committed, and `also` in between.
  func run(_ batches: UInt64, within seconds: Double = 40, also: () -> Void = {}) {
    eventually("\(batches) batches committed", within: seconds) {
      primary.poll(upTo: batches)
      secondary.poll()
      also()
    } _: {
      primary.applied == batches || secondary.gaps + secondary.damaged > 0
    }
    #expect(primary.applied == batches && secondary.voted == batches && secondary.applied == batches)
    #expect(secondary.gaps == 0 && secondary.damaged == 0)
  }
}
