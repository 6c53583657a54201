import DEFTMailbox
import DEFTWire
import Testing

@testable import DEFTControl

/// What a primary's lcore does with its rings, without packets: it makes a prepare and, once that is voted for, a commit
/// of every batch, both of a length that follows from the batch, and trims by votes and resumes.
final class FakePrimary {
  let pair: UInt16
  let prepareRing: MessageRing
  let commitRing: MessageRing
  let inboxRing: MessageRing
  let bell: Doorbell
  /// Most entries of a prepare and of a commit.
  var longest = (prepare: 60, commit: 40)
  /// Batches in flight.
  var window: UInt64 = 32
  private(set) var resumes: [(epoch: UInt32, voted: UInt64, applied: UInt64)] = []
  private(set) var prepared: UInt64 = 0
  private(set) var committed: UInt64 = 0
  private(set) var voted: UInt64 = 0
  private(set) var applied: UInt64 = 0
  private(set) var votes: UInt64 = 0
  private var prepares: MessageProducer
  private var commits: MessageProducer
  private var inbox: MessageConsumer
  /// Behind batch n of each log, at n - 1.
  private var prepareEnds: [UInt64] = []
  private var commitEnds: [UInt64] = []

  init(pair: UInt16, bell: Doorbell, logCapacity: Int = 1 << 16, inboxCapacity: Int = 1 << 14) {
    self.pair = pair
    self.bell = bell
    prepareRing = MessageRing(capacity: logCapacity)
    commitRing = MessageRing(capacity: logCapacity)
    inboxRing = MessageRing(capacity: inboxCapacity)
    prepares = MessageProducer(prepareRing, retaining: true)
    commits = MessageProducer(commitRing, retaining: true)
    inbox = MessageConsumer(inboxRing)
  }

  func free() {
    prepareRing.deallocate()
    commitRing.deallocate()
    inboxRing.deallocate()
  }

  func endpoint(networkFunction: String = "fake", stateEntrySize: UInt32 = TestMessage.stateEntrySize)
    -> PrimaryEndpoint
  {
    PrimaryEndpoint(
      pair: pair, epoch: 1, networkFunction: networkFunction, stateEntrySize: stateEntrySize, prepares: prepareRing,
      commits: commitRing, inbox: inboxRing)
  }

  /// How many entries batch `batch` has.
  static func entries(_ kind: ControlMessageHeader.Kind, _ batch: UInt64, most: Int) -> Int {
    var random = Random(batch &* 2 + (kind == .commit ? 1 : 0))
    return random.below(most + 1)
  }

  /// One turn: reads the inbox, then makes batches up to `last` while there is room.
  func poll(upTo last: UInt64) {
    var hasWritten = readInbox()
    while !resumes.isEmpty, prepared < last, prepared < voted + window {
      guard let end = write(.prepare, prepared + 1, most: longest.prepare, &prepares) else { break }
      prepareEnds.append(end)
      prepared += 1
      hasWritten = true
    }
    while committed < voted {
      guard let end = write(.commit, committed + 1, most: longest.commit, &commits) else { break }
      commitEnds.append(end)
      committed += 1
      hasWritten = true
    }
    if hasWritten { bell.ring() }
  }

  /// True if the logs were rewound.
  private func readInbox() -> Bool {
    var hasRewound = false
    while let message = inbox.next() {
      let header = ControlMessageHeader(reading: message.baseAddress!)
      let word = message.load(fromByteOffset: ControlMessageHeader.byteCount, as: UInt64.self)
      #expect(header.defect() == nil && header.pair == pair && message.count == 40)
      voted = max(voted, header.batch)
      applied = max(applied, word)
      #expect(voted <= prepared && applied <= committed, "voted for what was never prepared")
      if voted > 0 { prepares.trim(through: prepareEnds[Int(voted) - 1]) }
      if applied > 0 { commits.trim(through: commitEnds[Int(applied) - 1]) }
      if header.kind == ControlMessageHeader.Kind.resume.rawValue {
        resumes.append((header.epoch, header.batch, word))
        prepares.rewind()
        commits.rewind()
        hasRewound = true
      } else {
        #expect(header.kind == ControlMessageHeader.Kind.vote.rawValue)
        #expect(!resumes.isEmpty, "a vote before the resume")
        votes += 1
      }
      inbox.consume(message)
    }
    return hasRewound
  }

  private func write(
    _ kind: ControlMessageHeader.Kind, _ batch: UInt64, most: Int, _ log: inout MessageProducer
  ) -> UInt64? {
    let entries = FakePrimary.entries(kind, batch, most: most)
    let length = TestMessage.length(kind, entries: entries)
    guard let room = log.reserve(length) else { return nil }
    TestMessage.write(kind, pair: pair, batch: batch, entries: entries, to: room)
    let end = log.append(length)
    log.publish(through: end)
    return end
  }
}
