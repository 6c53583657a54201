import NIOCore

/// Reads the doorbell's pipe; what it reads says nothing but "look".
final class DoorbellHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let loop: ControlLoop

  init(_ loop: ControlLoop) { self.loop = loop }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    loop.counters.count(.wakeUps)
    loop.wokenUp()
  }
}
