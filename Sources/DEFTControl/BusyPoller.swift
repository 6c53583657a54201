import Glibc
import NIOCore
import NIOPosix

/// Polling instead of sleeping, as long as there was work a moment ago. To be put to sleep and woken costs the control thread
/// tens of microseconds on a virtual CPU, and whoever wakes it several: at full speed a hundred packets.
///
/// NIO's event loop sleeps unless a descriptor is readable. So this has a pipe to itself: in each turn of the event loop sockets
/// are served, the byte is read, all nodes of the thread look into their rings, and the byte is written again.
///
/// A thread that polls is the last that a scheduler lets run again once another wanted its CPU. If it turns out to have got
/// much less of the CPU than it would have used, it stops polling for a while, and lives by doorbells.
///
/// | | something happens | a turn finds work | a turn finds none for `patience` | it did not get its CPU | the rest is over |
/// |---|---|---|---|---|---|
/// | asleep (each doorbell says so) | polling | | | | |
/// | polling (no doorbell says so) | polling | polling | each doorbell says so; work after all: polling; else asleep | resting | |
/// | resting (`ControlLoop.pump` alone) | resting | | | | polling, with what happens next |
///
/// Confined to the event loop.
final class BusyPoller: ChannelInboundHandler, @unchecked Sendable {
  typealias InboundIn = ByteBuffer

  /// How long nothing may be found before the thread sleeps.
  private static let patience = TimeAmount.microseconds(50)
  /// The CPU time that the thread got is looked at this often.
  private static let spell = TimeAmount.milliseconds(4)
  /// A rest is so long; the next one twice as long if this one did not help.
  private static let shortestRest = TimeAmount.milliseconds(100)
  private static let longestRest = TimeAmount.milliseconds(1600)

  private var loops: [ControlLoop] = []
  private var writeEnd: Int32 = -1
  private var channel: (any Channel)?
  /// The byte is in the pipe.
  private var isArmed = false
  private var isPolling = false
  private var lastWork = NIODeadline.now()
  /// When the present spell of polling began, and the thread's CPU time then.
  private var spellBegan = NIODeadline.now()
  private var spellCPUTime: Int64 = 0
  private var restEnds: NIODeadline?
  private var rest = BusyPoller.shortestRest
  private(set) var restCount: UInt64 = 0

  /// CPU time of the calling thread, ns.
  private let cpuTime: @Sendable () -> Int64

  /// Not on the event loop; returns when the pipe is watched.
  init(_ eventLoop: any EventLoop, cpuTime: @escaping @Sendable () -> Int64) throws {
    self.cpuTime = cpuTime
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw ControlError.noDescriptors }
    for end in ends {
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
    }
    writeEnd = ends[1]
    let watched = NIOPipeBootstrap(group: eventLoop)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64))
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(self) }
      }
      .takingOwnershipOfDescriptor(input: ends[0])
    channel = try watched.wait()
  }

  func add(_ loop: ControlLoop) { loops.append(loop) }
  func remove(_ loop: ControlLoop) { loops.removeAll { $0 === loop } }

  func stop() {
    channel?.close(promise: nil)
    channel = nil
    _ = close(writeEnd)
    writeEnd = -1
  }

  /// Something has happened: from now on the thread polls. False while it rests.
  func stayAwake() -> Bool {
    let now = NIODeadline.now()
    if let end = restEnds {
      guard now >= end else { return false }
      restEnds = nil
    }
    lastWork = now
    if !isPolling {
      isPolling = true
      spellBegan = now
      spellCPUTime = cpuTime()
    }
    arm()
    return true
  }

  private func arm() {
    guard !isArmed, writeEnd >= 0 else { return }
    isArmed = true
    var byte: UInt8 = 1
    _ = write(writeEnd, &byte, 1)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    isArmed = false
    guard isPolling else { return }
    var hasWorked = false
    for loop in loops where loop.look() { hasWorked = true }
    let now = NIODeadline.now()
    if hasWorked { lastWork = now }
    if now - spellBegan >= BusyPoller.spell, !hasOwnCPU(now) { return giveWay(now) }
    if now - lastWork < BusyPoller.patience { return arm() }
    isPolling = false
    for loop in loops where !loop.fallAsleep() { _ = stayAwake() }
  }

  /// Whether the thread ran for most of the spell that ends now. A stalled host does not show in CPU time.
  private func hasOwnCPU(_ now: NIODeadline) -> Bool {
    let time = cpuTime()
    let isOwn = (time - spellCPUTime) * 10 >= (now - spellBegan).nanoseconds * 7
    spellBegan = now
    spellCPUTime = time
    if isOwn { rest = BusyPoller.shortestRest }
    return isOwn
  }

  private func giveWay(_ now: NIODeadline) {
    isPolling = false
    restCount += 1
    restEnds = now + rest
    rest = min(BusyPoller.longestRest, rest * 2)
    for loop in loops { loop.pump() }
  }

  static func threadCPUTime() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
