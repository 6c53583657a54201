import DEFTMailbox
import Glibc
import Synchronization
import Testing

@Suite(.serialized, .timeLimit(.minutes(1)))
struct DoorbellTests {
  private func pending(_ bell: Doorbell) -> Int {
    var bytes: [UInt8] = Array(repeating: 0, count: 16)
    return max(0, read(bell.readDescriptor, &bytes, 16))
  }

  @Test func onlyASleeperIsWoken() throws {
    let bell = try #require(Doorbell())
    defer {
      bell.close()
      close(bell.readDescriptor)
    }
    bell.ring()
    #expect(pending(bell) == 0)
    bell.prepareToSleep()
    bell.stayAwake()
    bell.ring()
    #expect(pending(bell) == 0)
    bell.prepareToSleep()
    bell.ring()
    bell.ring()
    #expect(pending(bell) == 1)
    bell.ring()
    #expect(pending(bell) == 0)
  }

  /// A sleeper that trusts the doorbell alone never sleeps through a message.
  @Test func noMessageIsSleptThrough() throws {
    let bell = try #require(Doorbell())
    let ring = MessageRing(capacity: 4096)
    defer {
      bell.close()
      close(bell.readDescriptor)
      ring.deallocate()
    }
    let total: UInt64 = 50_000
    withProducerThread {
      let producer = RingWriter(ring, retaining: false)
      var random = Random(3)
      for value in 0..<total {
        while true {
          if let position = producer.append(value, byteCount: 16) {
            producer.publish(through: position)
            bell.ring()
            break
          }
          sched_yield()
        }
        for _ in 0..<random.below(200) { atomicMemoryFence(ordering: .sequentiallyConsistent) }
      }
    } meanwhile: {
      let consumer = RingReader(ring)
      var expected: UInt64 = 0
      while expected < total {
        while let message = consumer.next() {
          #expect(RingReader.value(of: message) == expected)
          consumer.consume(message)
          expected += 1
        }
        bell.prepareToSleep()
        if expected == total || consumer.hasMore {
          bell.stayAwake()
          continue
        }
        var descriptor = pollfd(fd: bell.readDescriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, 10_000) == 1 else {
          Issue.record("slept through message \(expected)")
          return
        }
        _ = pending(bell)
      }
    }
  }
}
