import Glibc
import Testing

@testable import DEFTControl

/// Nodes that share a thread, and a thread that polls.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ControlThreadTests {
  @Test(arguments: [false, true])
  func twoNodesOnOneThread(ownsCPU: Bool) throws {
    let thread = try ControlThread(ownsCPU: ownsCPU)
    defer { thread.join() }
    let nodes = try PairOfNodes(inboxCapacity: 1 << 14, longest: (200, 100), on: thread)
    defer { nodes.stop() }
    var cuts = 0
    nodes.run(10_000) {
      guard cuts < 6, nodes.primary.applied >= UInt64(cuts + 1) * 1000 else { return }
      cuts += 1
      (cuts % 2 == 0 ? nodes.primaryNode : nodes.secondaryNode).cutConnection(pair: nodes.pair)
    }
    #expect(cuts == 6)
    #expect(nodes.primaryNode.status.connectionsLost >= 5)
    #expect(nodes.primaryNode.status.badMessageCount == 0 && nodes.secondaryNode.status.badMessageCount == 0)
  }

  /// With nothing to do it sleeps, and says so: the doorbell wakes it, and is not needed as long as it is awake.
  @Test func aPollingThreadFallsAsleep() throws {
    let thread = try ControlThread(ownsCPU: true)
    defer { thread.join() }
    let nodes = try PairOfNodes(on: thread)
    defer { nodes.stop() }
    var batches: UInt64 = 100
    nodes.run(batches)
    for _ in 0..<5 {
      eventually("it sleeps") { nodes.primaryNode.doorbell.isSleeping && nodes.secondaryNode.doorbell.isSleeping }
      let before = nodes.primaryNode.status.wakeUps
      batches += 1
      nodes.run(batches)
      #expect(nodes.primaryNode.status.wakeUps > before)
    }
  }

  @Test func aSlowInboxIsTriedAgainWithoutABell() throws {
    let thread = try ControlThread(ownsCPU: true)
    defer { thread.join() }
    let nodes = try PairOfNodes(logCapacity: 1 << 22, inboxCapacity: 1 << 13, longest: (200, 0), on: thread)
    defer { nodes.stop() }
    nodes.primary.window = 1_000_000
    nodes.secondary.isDeaf = true
    eventually("the inbox is full") {
      nodes.primary.poll(upTo: 2000)
    } _: {
      nodes.secondaryNode.status.inboxFullWaits > 0
    }
    usleep(20_000)
    nodes.secondary.isDeaf = false
    nodes.run(2000)
    #expect(nodes.secondaryNode.status.connectionsLost == 0)
  }

  /// It got no CPU time while it polled, so others want its CPU: it lives by doorbells, and polls again later.
  @Test func aPollingThreadThatDoesNotGetItsCPURests() throws {
    let thread = try ControlThread(ownsCPU: true, cpuTime: { 0 })
    defer { thread.join() }
    let poller = try #require(thread.poller)
    let nodes = try PairOfNodes(on: thread)
    defer { nodes.stop() }
    var rests: UInt64 { (try? thread.eventLoop.submit { poller.restCount }.wait()) ?? 0 }
    var batches: UInt64 = 0
    eventually(
      "two rests",
      working: {
        batches += 50
        nodes.run(batches)
      }
    ) { rests >= 2 }
    // Resting, it sleeps all the same, and wakes.
    eventually("it sleeps") { nodes.primaryNode.doorbell.isSleeping && nodes.secondaryNode.doorbell.isSleeping }
    nodes.run(batches + 500)
    #expect(nodes.primaryNode.status.connectionsLost == 0)
  }
}
