import Glibc
import NIOCore
import NIOPosix

/// Polling instead of sleeping, as long as there was work a moment ago. To be put to sleep and woken costs the control thread
/// tens of microseconds on a virtual CPU, and whoever wakes it several: at full speed a hundred packets.
///
/// NIO's event loop sleeps unless a descriptor is readable. So this has a pipe to itself: in each turn of the event loop sockets
/// are served, the byte is read, all nodes of the thread look into their rings, and the byte is written again.
///
/// | | something happens | a turn finds work | a turn finds none | … for `patience` |
/// |---|---|---|---|---|
/// | asleep (each doorbell says so) | polling | | | |
/// | polling (no doorbell says so) | polling | polling | polling | each doorbell says so; work after all: polling; else asleep |
///
/// Confined to the event loop.
final class BusyPoller: ChannelInboundHandler, @unchecked Sendable {
  typealias InboundIn = ByteBuffer

  /// How long nothing may be found before the thread sleeps.
  private static let patience = TimeAmount.microseconds(100)

  private var loops: [ControlLoop] = []
  private var writeEnd: Int32 = -1
  private var channel: (any Channel)?
  /// The byte is in the pipe.
  private var isArmed = false
  private var lastWork = NIODeadline.now()

  /// Not on the event loop; returns when the pipe is watched.
  init(_ eventLoop: any EventLoop) throws {
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

  /// Something has happened: from now on the thread polls.
  func stayAwake() {
    lastWork = .now()
    arm()
  }

  private func arm() {
    guard !isArmed, writeEnd >= 0 else { return }
    isArmed = true
    var byte: UInt8 = 1
    _ = write(writeEnd, &byte, 1)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    isArmed = false
    var hasWorked = false
    for loop in loops where loop.look() { hasWorked = true }
    let now = NIODeadline.now()
    if hasWorked { lastWork = now }
    if now - lastWork < BusyPoller.patience { return arm() }
    for loop in loops where !loop.fallAsleep() { stayAwake() }
  }
}
