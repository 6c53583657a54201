import DEFTMailbox
import DEFTWire
import Testing

@testable import DEFTControl

/// What a secondary's lcore does with its rings, without packets: it takes prepares and commits in order, refuses gaps,
/// compares every byte, ignores what it has already, and votes.
final class FakeSecondary {
  let pair: UInt16
  let inboxRing: MessageRing
  let outboxRing: MessageRing
  let bell: Doorbell
  /// Must be those of the `FakePrimary`.
  var longest = (prepare: 60, commit: 40)
  /// Messages that one turn reads at most.
  var appetite = Int.max
  /// The lcore is busy elsewhere: it neither reads nor votes.
  var isDeaf = false
  private(set) var voted: UInt64 = 0
  private(set) var applied: UInt64 = 0
  private(set) var duplicates: UInt64 = 0
  private(set) var gaps = 0
  private(set) var damaged = 0
  private var inbox: MessageConsumer
  private var outbox: MessageProducer
  private var isVoteDue = false

  init(pair: UInt16, bell: Doorbell, inboxCapacity: Int = 1 << 16, outboxCapacity: Int = 1 << 14) {
    self.pair = pair
    self.bell = bell
    inboxRing = MessageRing(capacity: inboxCapacity)
    outboxRing = MessageRing(capacity: outboxCapacity)
    inbox = MessageConsumer(inboxRing)
    outbox = MessageProducer(outboxRing, retaining: false)
  }

  func free() {
    inboxRing.deallocate()
    outboxRing.deallocate()
  }

  func endpoint(networkFunction: String = "fake", stateEntrySize: UInt32 = TestMessage.stateEntrySize)
    -> SecondaryEndpoint
  {
    SecondaryEndpoint(
      pair: pair, epoch: 1, networkFunction: networkFunction, stateEntrySize: stateEntrySize, inbox: inboxRing,
      outbox: outboxRing)
  }

  func poll() {
    guard !isDeaf else { return }
    var left = appetite
    while left > 0, let message = inbox.next() {
      left -= 1
      take(message)
      inbox.consume(message)
    }
    guard isVoteDue, let room = outbox.reserve(40) else { return }
    ControlMessageHeader(kind: .vote, pair: pair, epoch: 1, batch: voted, length: 40).write(to: room)
    room.storeBytes(of: applied, toByteOffset: ControlMessageHeader.byteCount, as: UInt64.self)
    outbox.publish(through: outbox.append(40))
    isVoteDue = false
    bell.ring()
  }

  private func take(_ message: UnsafeRawBufferPointer) {
    let header = ControlMessageHeader(reading: message.baseAddress!)
    if !TestMessage.isIntact(message) { damaged += 1 }
    let isCommit = header.kind == ControlMessageHeader.Kind.commit.rawValue
    let most = isCommit ? longest.commit : longest.prepare
    if Int(header.count) != FakePrimary.entries(isCommit ? .commit : .prepare, header.batch, most: most) {
      damaged += 1
    }
    let last = isCommit ? applied : voted
    isVoteDue = true
    if header.batch <= last { duplicates += 1 } else if header.batch > last + 1 { gaps += 1 }
    // A gap is counted and refused, as the protocol does.
    guard header.batch == last + 1 else { return }
    if isCommit { applied += 1 } else { voted += 1 }
  }
}
