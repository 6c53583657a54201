import Testing

@testable import DEFTCapture

/// The transition tables of `TCPConversation` and `PendingOutput`, prohibited moves included.
@Suite struct StateTests {
  typealias Phase = TCPConversation.Phase

  /// The phases after each of `packets` packets.
  private func phases(_ ending: TCPConversation.Ending, packets: Int, answered: Bool = true) -> [Phase] {
    var random = SeededGenerator(seed: 1, stream: 0)
    var sizes = SizeMix()
    var conversation = TCPConversation(ending: ending, answered: answered, random: &random)
    return (0..<packets).map { sent in
      _ = conversation.next(left: packets - sent, headerLength: 34, sizes: &sizes, random: &random)
      return conversation.phase
    }
  }

  @Test func connectionPhases() {
    #expect(phases(.fin, packets: 1) == [.synSent])
    #expect(phases(.fin, packets: 2) == [.synSent, .over])
    #expect(phases(.fin, packets: 3) == [.synSent, .synReceived, .established])
    #expect(phases(.fin, packets: 4) == [.synSent, .synReceived, .established, .over])
    #expect(phases(.fin, packets: 6) == [.synSent, .synReceived, .established, .finSent, .lastAck, .over])
    #expect(phases(.fin, packets: 7).suffix(4) == [.established, .finSent, .lastAck, .over])
    #expect(phases(.reset, packets: 6).suffix(3) == [.established, .established, .over])
    #expect(phases(.open, packets: 6).suffix(3) == [.established, .established, .established])
    #expect(phases(.fin, packets: 6, answered: false) == [Phase](repeating: .closed, count: 6))
  }

  @Test func nothingFollowsTheEnd() async {
    await #expect(processExitsWith: .failure) {
      var random = SeededGenerator(seed: 1, stream: 0)
      var sizes = SizeMix()
      var conversation = TCPConversation(ending: .reset, answered: true, random: &random)
      for left in [2, 1, 1] {
        _ = conversation.next(left: left, headerLength: 34, sizes: &sizes, random: &random)
      }
    }
  }

  @Test func publishesOnce() async {
    await #expect(processExitsWith: .failure) {
      let output = try PendingOutput("/dev/null")
      try output.publish()
      try output.publish()
    }
    await #expect(processExitsWith: .failure) {
      let output = try PendingOutput("/dev/null")
      output.discard()
      try output.publish()
    }
  }

  /// A receiver never lets more than its window of 65,535 bytes be under way.
  @Test func sendersKeepToTheWindow() {
    var random = SeededGenerator(seed: 5, stream: 0)
    var sizes = SizeMix()
    var conversation = TCPConversation(ending: .open, answered: true, random: &random)
    var acknowledged: [Bool: UInt32] = [:]
    for left in stride(from: 100_000, to: 0, by: -1) {
      let segment = conversation.next(left: left, headerLength: 34, sizes: &sizes, random: &random)
      let end = segment.sequence &+ UInt32(segment.payloadLength)
      #expect(end &- acknowledged[segment.fromInitiator, default: segment.sequence] <= 65_535)
      if segment.flags.contains(.ack) { acknowledged[!segment.fromInitiator] = segment.acknowledgment }
    }
  }
}
