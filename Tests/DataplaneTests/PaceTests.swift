import DEFTCore
import DEFTWire
import Testing

@testable import DEFTDataplane

/// Each stage moves more in a round than comes in. One that moved as much kept what a vote or a stall had queued up in front of
/// it for the rest of the run: at full load every packet waited for the whole window once more.
@Suite struct PaceTests {
  private struct Passing: NetworkFunction {
    static let initialState: UInt64 = 0
    static let name = "passing"
    static let summary = "passes everything"
    func process(_ packet: PacketView, _ state: inout UInt64, _ context: PacketContext) -> Verdict { .pass }
  }

  @Test func nobodyIsAsSlowAsTheIntake() {
    #expect(PrimaryStage<Passing>.takeBursts >= 2)
    #expect(PrimaryStage<Passing>.releaseBurst > StamperStage.burst)
    #expect(SecondaryStage<UInt64>.freeBurst > StamperStage.burst)
    #expect(EgressStage.burst * EgressStage.burstsPerPoll > PrimaryStage<Passing>.releaseBurst)
  }
}
