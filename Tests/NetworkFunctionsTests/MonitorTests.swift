import DEFTCore
import Testing

@testable import NetworkFunctions

@Suite struct MonitorTests {
  let client = End(address: [10, 0, 0, 1], port: 1000)
  let server = End(address: [192, 0, 2, 1], port: 80)

  @Test func stateHasNoPadding() {
    #expect(MemoryLayout<Monitor.State>.size == 40)
    #expect(MemoryLayout<Monitor.State>.stride == 40)
  }

  @Test func initialStateIsZero() {
    withUnsafeBytes(of: Monitor.initialState) { bytes in #expect(bytes.allSatisfy { $0 == 0 }) }
  }

  @Test func countsBothDirections() {
    var replica = Replica(Monitor())
    #expect(replica.run(Frames.tcp(client, server, Frames.syn), time: 5) == .pass)
    #expect(replica.run(Frames.tcp(server, client, Frames.syn | Frames.ack), time: 7) == .pass)
    #expect(replica.run(Frames.tcp(client, server, Frames.fin | Frames.ack), time: 9) == .pass)
    let state = replica.state
    #expect(state.packets == 3)
    #expect(state.bytes == 3 * 54)
    #expect(state.firstTime == 5)
    #expect(state.lastTime == 9)
    #expect(state.tcpFlags == UInt64(Frames.syn | Frames.ack | Frames.fin))
  }

  @Test func firstTimeMayBeZeroOrLate() {
    var replica = Replica(Monitor())
    _ = replica.run(Frames.udp(client, server), time: 0)
    _ = replica.run(Frames.udp(client, server), time: 3)
    #expect(replica.state.firstTime == 0)
    #expect(replica.state.lastTime == 3)
    #expect(replica.state.tcpFlags == 0)
  }

  @Test func passesFramesOfAnyKind() {
    var replica = Replica(Monitor())
    let frames: [[UInt8]] = [
      [], [1, 2, 3], Frames.ethernet(0x0806, [0]), Frames.ethernet(0x0800, [0x45]), Frames.fragment(client, server, 17),
    ]
    for frame in frames {
      #expect(replica.run(frame, time: 1) == .pass)
    }
  }
}
