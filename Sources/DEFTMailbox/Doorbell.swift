import Glibc
import Synchronization

/// Wakes a control thread that sleeps in its event loop. The lcore pays one fence when nobody sleeps, and one `write`
/// when somebody does.
///
/// Sleeper: `prepareToSleep()`, look into every ring once more, sleep only if all are empty. Ringer: publish, `ring()`.
public struct Doorbell: @unchecked Sendable {
  @usableFromInline let sleeping: UnsafeMutablePointer<Atomic<UInt32>>
  @usableFromInline let loaded: UnsafeMutablePointer<Atomic<UInt32>>
  /// The sleeper watches this pipe end for bytes; it reads and discards them. Non-blocking.
  public let readDescriptor: Int32
  @usableFromInline let writeDescriptor: Int32

  /// nil if the process has no descriptors left.
  public init?() {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { return nil }
    for end in ends {
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
    }
    readDescriptor = ends[0]
    writeDescriptor = ends[1]
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    sleeping = memory.bindMemory(to: Atomic<UInt32>.self, capacity: 1)
    sleeping.initialize(to: Atomic(0))
    loaded = (memory + 64).bindMemory(to: Atomic<UInt32>.self, capacity: 1)
    loaded.initialize(to: Atomic(0))
  }

  /// Called by lcores after they have published something.
  @inlinable @inline(__always)
  public func ring() {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if sleeping.pointee.load(ordering: .relaxed) != 0 { wake() }
  }

  @inline(never)
  public func wake() {
    guard sleeping.pointee.exchange(0, ordering: .acquiringAndReleasing) != 0 else { return }
    var byte: UInt8 = 1
    // A full pipe means that a wake-up is on its way already.
    _ = write(writeDescriptor, &byte, 1)
  }

  /// Said by lcores: more is coming at once, so looking again soon is cheaper for all than being woken for each message.
  /// A hint; several lcores may overwrite each other's.
  @inlinable @inline(__always)
  public func setLoaded(_ isLoaded: Bool) { loaded.pointee.store(isLoaded ? 1 : 0, ordering: .relaxed) }
  public var isLoaded: Bool { loaded.pointee.load(ordering: .relaxed) != 0 }

  /// Called by the control thread before its last look into the rings.
  public func prepareToSleep() {
    sleeping.pointee.store(1, ordering: .sequentiallyConsistent)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }
  /// The control thread has said that it sleeps, and nobody has rung since.
  public var isSleeping: Bool { sleeping.pointee.load(ordering: .relaxed) != 0 }
  /// Called by the control thread that found work after all.
  public func stayAwake() { sleeping.pointee.store(0, ordering: .relaxed) }

  /// Closes the writing end (the reading end belongs to the event loop that watches it).
  public func close() { _ = Glibc.close(writeDescriptor) }
}
