import DEFTMailbox
import DEFTWire
import Glibc
import Synchronization
import Testing

@Suite(.serialized, .timeLimit(.minutes(1)))
struct MessageRingTests {
  @Test func whatIsNotPublishedIsNotSeen() throws {
    let ring = MessageRing(capacity: 4096)
    defer { ring.deallocate() }
    let producer = RingWriter(ring, retaining: false)
    let consumer = RingReader(ring)
    let first = try #require(producer.append(1, byteCount: 16))
    let second = try #require(producer.append(2, byteCount: 24))
    #expect(consumer.next() == nil)
    #expect(!consumer.hasMore)
    producer.publish(through: first)
    #expect(consumer.hasMore)
    let message = try #require(consumer.next())
    #expect(message.count == 16 && RingReader.value(of: message) == 1)
    consumer.consume(message)
    #expect(consumer.next() == nil)
    producer.publish(through: second)
    let other = try #require(consumer.next())
    #expect(other.count == 24 && RingReader.value(of: other) == 2)
    consumer.consume(other)
    #expect(!consumer.hasMore)
  }

  @Test func anAbandonedReservationChangesNothing() throws {
    let ring = MessageRing(capacity: 4096)
    defer { ring.deallocate() }
    let producer = RingWriter(ring, retaining: false)
    let consumer = RingReader(ring)
    // The first reservations need a pad at the end of the ring, the one that is kept does not.
    for value in 0..<3 as Range<UInt64> {
      producer.publish(through: try #require(producer.append(value, byteCount: 1280)))
      let message = try #require(consumer.next())
      #expect(RingReader.value(of: message) == value)
      consumer.consume(message)
    }
    #expect(producer.reserve(2048) != nil)
    #expect(producer.reserve(512) != nil)
    producer.publish(through: try #require(producer.append(3, byteCount: 256)))
    producer.publish(through: try #require(producer.append(4, byteCount: 1024)))
    for value in 3..<5 as Range<UInt64> {
      let message = try #require(consumer.next())
      #expect(RingReader.value(of: message) == value)
      consumer.consume(message)
    }
    #expect(consumer.next() == nil)
  }

  @Test(arguments: [16, 24, 40, 1000, 1360, 2040, 2048])
  func aFullRingRefusesAndTakesAgainAfterReading(byteCount: Int) throws {
    let ring = MessageRing(capacity: 4096)
    defer { ring.deallocate() }
    let producer = RingWriter(ring, retaining: false)
    let consumer = RingReader(ring)
    #expect(producer.maximumMessage == 2048)
    var written: UInt64 = 0
    var read: UInt64 = 0
    for round in 0..<100 {
      while let position = producer.append(written, byteCount: byteCount) {
        producer.publish(through: position)
        written += 1
      }
      #expect(written - read >= 1 && written - read <= 4096 / UInt64(byteCount))
      for _ in 0...(round % Int(written - read)) {
        let message = try #require(consumer.next())
        #expect(message.count == byteCount && RingReader.value(of: message) == read)
        consumer.consume(message)
        read += 1
      }
    }
    #expect(producer.refusals >= 100)
    while let message = consumer.next() {
      #expect(RingReader.value(of: message) == read)
      consumer.consume(message)
      read += 1
    }
    #expect(read == written)
  }

  @Test func aRetainingRingKeepsWhatWasReadUntilItIsTrimmed() throws {
    let ring = MessageRing(capacity: 4096)
    defer { ring.deallocate() }
    let producer = RingWriter(ring, retaining: true)
    let consumer = RingReader(ring)
    var positions: [UInt64] = []
    while let position = producer.append(UInt64(positions.count), byteCount: 512) {
      producer.publish(through: position)
      positions.append(position)
    }
    #expect(positions.count == 8)
    for value in 0..<8 as Range<UInt64> {
      let message = try #require(consumer.next())
      #expect(RingReader.value(of: message) == value)
      consumer.consume(message)
    }
    #expect(producer.reserve(512) == nil)
    producer.trim(through: positions[2])
    for value in 8..<11 as Range<UInt64> {
      producer.publish(through: try #require(producer.append(value, byteCount: 512)))
    }
    #expect(producer.reserve(8) == nil)
    // Trimming further back changes nothing.
    producer.trim(through: positions[0])
    #expect(producer.reserve(8) == nil)
    producer.rewind()
    #expect(producer.reserve(8) == nil)
    #expect(consumer.takeRewind())
    #expect(!consumer.takeRewind())
    for value in 3..<11 as Range<UInt64> {
      let message = try #require(consumer.next())
      #expect(RingReader.value(of: message) == value)
      consumer.consume(message)
    }
    #expect(consumer.next() == nil)
  }

  /// The consumer went back once and is still far behind when the producer trims ahead of it and asks again: what it may
  /// be reading must not be overwritten before it has taken the second request.
  @Test func aSecondRewindProtectsWhatTheFirstOneIsReading() throws {
    let ring = MessageRing(capacity: 4096)
    defer { ring.deallocate() }
    let producer = RingWriter(ring, retaining: true)
    let consumer = RingReader(ring)
    var positions: [UInt64] = []
    for value in 0..<8 as Range<UInt64> {
      positions.append(try #require(producer.append(value, byteCount: 512)))
      producer.publish(through: positions.last!)
    }
    while let message = consumer.next() { consumer.consume(message) }
    producer.rewind()
    #expect(consumer.takeRewind())
    let message = try #require(consumer.next())
    #expect(RingReader.value(of: message) == 0)
    // The peer says that it has everything up to 5.
    producer.trim(through: positions[5])
    producer.rewind()
    #expect(producer.append(8, byteCount: 512) == nil)
    #expect(RingReader.value(of: message) == 0)
    consumer.consume(message)
    #expect(consumer.takeRewind())
    for value in 8..<14 as Range<UInt64> {
      producer.publish(through: try #require(producer.append(value, byteCount: 512)))
    }
    for value in 6..<14 as Range<UInt64> {
      let message = try #require(consumer.next())
      #expect(RingReader.value(of: message) == value)
      consumer.consume(message)
    }
  }

  @Test(arguments: [false, true])
  func twoThreads(retaining: Bool) {
    let ring = MessageRing(capacity: 1 << 16)
    defer { ring.deallocate() }
    let total: UInt64 = 200_000
    let acknowledged = Atomic<UInt64>(0)
    withProducerThread {
      let producer = RingWriter(ring, retaining: retaining)
      var random = Random(1)
      var positions: [UInt64] = []
      var trimmed = 0
      for value in 0..<total {
        let byteCount = 16 + 8 * random.below(value % 100 == 0 ? 4000 : 60)
        while true {
          if let position = producer.append(value, byteCount: byteCount) {
            positions.append(position)
            // Sometimes several messages become visible at once.
            if value % 3 != 0 || value == total - 1 { producer.publish(through: position) }
            break
          }
          if let last = positions.last { producer.publish(through: last) }
          let known = Int(acknowledged.load(ordering: .acquiring))
          if known > trimmed {
            trimmed = known
            producer.trim(through: positions[known - 1])
          }
          sched_yield()
        }
      }
    } meanwhile: {
      let consumer = RingReader(ring)
      var expected: UInt64 = 0
      eventually("all read", within: 50) {
        while let message = consumer.next() {
          guard RingReader.value(of: message) == expected else {
            Issue.record("message \(expected) is damaged or out of order")
            expected = total
            return
          }
          consumer.consume(message)
          expected += 1
        }
        acknowledged.store(expected, ordering: .releasing)
      } _: {
        expected == total
      }
    }
  }

  /// A request that is made while an earlier one is just being taken is not lost: the connection would wait for it for
  /// ever.
  @Test func noRewindIsLost() {
    let ring = MessageRing(capacity: 1 << 12)
    defer { ring.deallocate() }
    let rounds: UInt64 = 100_000
    // 1 + the value that the consumer found where a rewind led it.
    let reached = Atomic<UInt64>(0)
    let isOver = Atomic(false)
    withProducerThread {
      let producer = RingWriter(ring, retaining: true)
      var random = Random(4)
      var last: UInt64 = 0
      let end = monotonic() + 40_000_000_000
      for round in 0..<rounds {
        // Both messages of the last round are done with: room for two is always there.
        guard let first = producer.append(2 * round, byteCount: 16),
          let second = producer.append(2 * round + 1, byteCount: 16)
        else {
          Issue.record("no room in round \(round)")
          break
        }
        producer.publish(through: second)
        producer.trim(through: last)
        producer.rewind()
        for _ in 0..<random.below(30) { atomicMemoryFence(ordering: .sequentiallyConsistent) }
        producer.trim(through: first)
        producer.rewind()
        while reached.load(ordering: .acquiring) != 2 * round + 2, monotonic() < end {}
        guard reached.load(ordering: .acquiring) == 2 * round + 2 else {
          Issue.record("the second rewind of round \(round) was lost")
          break
        }
        last = second
      }
      isOver.store(true, ordering: .releasing)
    } meanwhile: {
      let consumer = RingReader(ring)
      while !isOver.load(ordering: .acquiring) {
        guard consumer.takeRewind() else { continue }
        guard let message = consumer.next(), let value = RingReader.value(of: message) else {
          Issue.record("a rewind led to nothing")
          continue
        }
        reached.store(value + 1, ordering: .releasing)
      }
    }
  }

  /// One thread publishes, trims what was read and now and then asks for everything again; the other reads, sometimes
  /// far behind. Values may come again, but never damaged, and never with a gap.
  @Test func twoThreadsWithRewinds() {
    let ring = MessageRing(capacity: 1 << 14)
    defer { ring.deallocate() }
    let total: UInt64 = 100_000
    let acknowledged = Atomic<UInt64>(0)
    withProducerThread {
      let producer = RingWriter(ring, retaining: true)
      var random = Random(2)
      var positions: [UInt64] = []
      while UInt64(positions.count) < total || acknowledged.load(ordering: .acquiring) < total {
        let known = Int(acknowledged.load(ordering: .acquiring))
        if known > 0 { producer.trim(through: positions[known - 1]) }
        if random.below(50) == 0 { producer.rewind() }
        let value = UInt64(positions.count)
        if value < total, let position = producer.append(value, byteCount: 16 + 8 * random.below(100)) {
          producer.publish(through: position)
          positions.append(position)
        } else {
          sched_yield()
        }
      }
    } meanwhile: {
      let consumer = RingReader(ring)
      var expected: UInt64 = 0
      var again = 0
      eventually("all read", within: 50) {
        if consumer.takeRewind() { again += 1 }
        for _ in 0..<40 {
          guard let message = consumer.next() else { break }
          guard let value = RingReader.value(of: message), value <= expected else {
            Issue.record("message damaged or missing before \(expected)")
            acknowledged.store(total, ordering: .releasing)
            expected = total
            return
          }
          expected = max(expected, value + 1)
          consumer.consume(message)
        }
        acknowledged.store(expected, ordering: .releasing)
      } _: {
        expected == total
      }
      #expect(again > 10)
    }
  }
}

/// Runs `produce` on a thread of its own while `body` runs here, and joins it. An issue recorded on that thread fails the
/// run, but is reported without the test's name.
func withProducerThread(_ produce: @escaping () -> Void, meanwhile body: () -> Void) {
  final class Work {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }
  var thread = pthread_t()
  let work = Unmanaged.passRetained(Work(produce)).toOpaque()
  let result = pthread_create(
    &thread, nil,
    { argument in
      Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().run()
      return nil
    }, work)
  precondition(result == 0)
  body()
  pthread_join(thread, nil)
}
