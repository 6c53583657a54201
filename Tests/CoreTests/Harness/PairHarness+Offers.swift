import DEFTWire

@testable import DEFTCore

// Packets and messages that no stamper or primary sends, past the harness's own bookkeeping.
extension PairHarness {
  func strayPacket(
    _ flowID: UInt32, _ counter: UInt32, time: UInt64 = 5, isMarker: Bool = false, previous: UInt32 = 0
  ) -> Packet {
    var flags = FrameLayout.opaque
    flags.isCloseMarker = isMarker
    let metadata = PacketMetadata(time: time, flowID: flowID, counter: counter, previousPassed: previous, layout: flags)
    return bank.make(metadata, content: (0xff, 0), references: 3)
  }

  /// True if the primary takes the packet.
  func offerToPrimary(_ flowID: UInt32, _ counter: UInt32, time: UInt64 = 5, isMarker: Bool = false) -> Bool {
    var packet = strayPacket(flowID, counter, time: time, isMarker: isMarker)
    var unwanted = packet
    return primary.process(&packet, count: 1, unwanted: &unwanted, now: now) == 0
  }

  /// True if the secondary takes the copy.
  func offerToSecondary(_ flowID: UInt32, _ counter: UInt32) -> Bool {
    var packet = strayPacket(flowID, counter)
    var unwanted = packet
    return secondary.hold(&packet, count: 1, unwanted: &unwanted) == 0
  }

  // Calls on the parts, which are not copyable and so cannot stand in an expectation.
  func secondaryVotes() -> Bool { secondary.vote() }
  func egressDecides(_ packet: Packet) -> EgressDecision { egress.decide(packet) }
  func primaryIsAcknowledged(_ count: UInt64) -> Bool { primary.acknowledged(count) }
  func nextCommittedClose() -> UInt32? { primary.nextCommittedClose() }

  func sendStray(
    _ kind: ControlMessageHeader.Kind, batch: UInt64, pair: UInt16 = 7, epoch: UInt32 = 3, clock: [ClockEntry] = [],
    states: [StateEntry] = [], stateBytes: Int = 16, lost: [PacketRange] = []
  ) {
    let isCommit = kind == .commit
    let entryBytes = isCommit ? StateEntry.byteCount + stateBytes : ClockEntry.byteCount
    let count = isCommit ? states.count : clock.count
    let lostPlace = ControlMessageHeader.byteCount + count * entryBytes
    let length = lostPlace + lost.count * PacketRange.byteCount
    var bytes = [UInt8](repeating: 0, count: length)
    bytes.withUnsafeMutableBytes { buffer in
      ControlMessageHeader(
        kind: kind, pair: pair, epoch: epoch, batch: batch, count: UInt32(count),
        detail: isCommit ? UInt32(entryBytes) : UInt32(lost.count), length: length
      ).write(to: buffer.baseAddress!)
      for i in 0..<count {
        let place = buffer.baseAddress! + ControlMessageHeader.byteCount + i * entryBytes
        if isCommit { states[i].write(to: place) } else { clock[i].write(to: place) }
      }
      for (i, range) in lost.enumerated() {
        range.write(to: buffer.baseAddress! + lostPlace + i * PacketRange.byteCount)
      }
    }
    bytes.withUnsafeBytes { secondary.receive($0) }
  }

  func sendStrayToPrimary(
    _ kind: ControlMessageHeader.Kind = .vote, voted: UInt64, applied: UInt64 = 0, epoch: UInt32 = 3
  ) -> Bool {
    answer(kind, voted: voted, applied: applied, epoch: epoch).withUnsafeBytes { primary.receive($0) }
  }
}
