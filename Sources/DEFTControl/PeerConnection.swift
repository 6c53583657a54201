import DEFTMailbox
import DEFTWire
import NIOCore

/// One TCP connection between a pair's two nodes. Confined to the control thread's event loop.
///
/// | phase | hello | welcome | refuse | resume | prepare, commit | vote, missing, uncovered | want, packet | next |
/// |---|---|---|---|---|---|---|---|---|
/// | awaitingHello (accepted) | taken | bad | bad | bad | bad | bad | bad | secondary; closed if refused |
/// | awaitingWelcome (dialed) | bad | taken | taken | bad | bad | bad | bad | awaitingResume; closed if refused |
/// | awaitingResume (dialed) | bad | bad | bad | to the lcore | bad | bad | bad | primary |
/// | primary (dialed) | bad | bad | bad | bad | bad | to the lcore | to the lcore | |
/// | secondary (accepted) | bad | bad | bad | bad | to the lcore | bad | to the lcore | |
/// | closed | ignored | ignored | ignored | ignored | ignored | ignored | ignored | |
///
/// A bad message, the handshake's time limit, an error or the other end leads from each phase to `closed`, which is final:
/// whoever dialed makes a new connection. A pair's inbox is written to only by the connection that the pair calls its own.
final class PeerConnection: ChannelDuplexHandler, @unchecked Sendable {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum Phase {
    case awaitingHello
    case awaitingWelcome(PrimaryPair)
    case awaitingResume(PrimaryPair)
    case primary(PrimaryPair)
    case secondary(SecondaryPair)
    case closed
  }

  /// A peer that has not finished the handshake by then is given up.
  private static let handshakeLimit = TimeAmount.seconds(5)

  private let loop: ControlLoop
  private(set) var phase: Phase
  private var context: ChannelHandlerContext?
  private var reader = FrameReader()
  /// Where hello, welcome and refuse go: they are read here and not by an lcore. 4 KiB; one message at a time.
  private let handshakeRing = MessageRing(capacity: 4096)
  private var handshakeSink: MessageProducer
  private var handshakeSource: MessageConsumer
  private var handshakeTimer: Scheduled<Void>?
  /// What was read and found no room in the inbox, at most one read. While it is there nothing more is read.
  private var held: ByteBuffer?

  /// - Parameter dialing: the pair that dialed, or nil for an accepted connection.
  init(_ loop: ControlLoop, dialing pair: PrimaryPair?) {
    self.loop = loop
    phase = pair.map(Phase.awaitingWelcome) ?? .awaitingHello
    handshakeSink = MessageProducer(handshakeRing, retaining: false)
    handshakeSource = MessageConsumer(handshakeRing)
  }

  deinit { handshakeRing.deallocate() }

  /// False: what is written now would pile up in this process.
  var isWritable: Bool { context?.channel.isWritable ?? false }
  var isBlocked: Bool { held != nil }
  /// Of a dialed connection: more than welcome and resume has come.
  var hasBroughtVotes: Bool { reader.messageCount > 2 }
  var remoteAddress: SocketAddress? { context?.remoteAddress }

  // MARK: the channel's life

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelActive(context: ChannelHandlerContext) {
    loop.adopt(self)
    handshakeTimer = context.eventLoop.scheduleTask(in: PeerConnection.handshakeLimit) {
      switch self.phase {
      case .awaitingHello, .awaitingWelcome, .awaitingResume:
        self.loop.logger.warning("no handshake in time, closing", metadata: self.metadata)
        self.terminate()
      case .primary, .secondary, .closed: break
      }
    }
    guard case .awaitingWelcome(let pair) = phase else { return }
    guard pair.connected(self) else { return terminate() }
    let hello = Handshake.Hello(node: loop.nodeID, endpoint: pair.endpoint).encoded(context.channel.allocator)
    loop.counters.sent(ControlMessageHeader.Kind.hello.rawValue, byteCount: hello.readableBytes)
    send(hello)
  }

  func channelInactive(context: ChannelHandlerContext) { ended() }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { terminate() }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { loop.pump() } else { loop.counters.count(.writabilityWaits) }
  }

  /// Ends the connection from this side. What TCP has not delivered may be lost; a new connection sends it again (R13).
  /// - Parameter abruptly: with a reset, as a failing host would.
  func terminate(abruptly: Bool = false) {
    if abruptly, let provider = context?.channel as? any SocketOptionProvider {
      _ = provider.setSoLinger(.init(l_onoff: 1, l_linger: 0))
    }
    ended()
    context?.close(promise: nil)
  }

  private func ended() {
    let last = phase
    phase = .closed
    held = nil
    handshakeTimer?.cancel()
    loop.forget(self)
    switch last {
    case .awaitingWelcome(let pair), .awaitingResume(let pair), .primary(let pair): pair.ended(self)
    case .secondary(let pair): pair.ended(self)
    case .awaitingHello, .closed: break
    }
  }

  // MARK: out

  func send(_ buffer: ByteBuffer) { context?.writeAndFlush(wrapOutboundOut(buffer), promise: nil) }

  // MARK: in

  /// The channel asks whether to read on: not while `held` waits for the lcore.
  func read(context: ChannelHandlerContext) {
    if held == nil { context.read() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if held != nil {
      // Only when the peer has closed does the channel read without being asked to; the next connection brings all this
      // again.
      return terminate()
    }
    advance(unwrapInboundIn(data))
    switch phase {
    case .secondary(let pair): loop.linger(for: pair)
    case .primary: loop.pump()
    default: break
    }
  }

  /// The lcore may have made room. True if something moved.
  func retry() -> Bool {
    guard let rest = held else { return false }
    let before = rest.readableBytes
    held = nil
    advance(rest)
    guard let still = held else {
      context?.read()
      return true
    }
    return still.readableBytes < before
  }

  private func advance(_ buffer: ByteBuffer) {
    var offset = 0
    while true {
      switch buffer.withUnsafeReadableBytes({ take($0, at: &offset) }) {
      case .needsMore: return
      case .message: handshake()
      case .bad(let reason): return reject(reason)
      case .sinkFull:
        var rest = buffer
        rest.moveReaderIndex(forwardBy: offset)
        held = rest
        loop.counters.count(.inboxFullWaits)
        loop.lookAgainSoon()
        return
      }
    }
  }

  private func take(_ bytes: UnsafeRawBufferPointer, at offset: inout Int) -> FrameReader.Outcome {
    let counters = loop.counters
    switch phase {
    case .awaitingHello:
      return reader.take(
        bytes, at: &offset, into: &handshakeSink, rules: FrameRules(allowing: .hello), counters: counters, single: true)
    case .awaitingWelcome(let pair):
      let rules = FrameRules(pair: pair.endpoint.pair, allowing: .welcome, .refuse)
      return reader.take(
        bytes, at: &offset, into: &handshakeSink, rules: rules, counters: counters, single: true)
    case .awaitingResume(let pair):
      let rules = FrameRules(pair: pair.endpoint.pair, allowing: .resume)
      return reader.take(bytes, at: &offset, into: &pair.inbox, rules: rules, counters: counters, single: true)
    case .primary(let pair):
      return reader.take(bytes, at: &offset, into: &pair.inbox, rules: pair.rules, counters: counters)
    case .secondary(let pair):
      return reader.take(bytes, at: &offset, into: &pair.inbox, rules: pair.rules, counters: counters)
    case .closed:
      offset = bytes.count
      return .needsMore
    }
  }

  /// A message that is not for the lcore, or the resume, has been taken.
  private func handshake() {
    switch phase {
    case .awaitingHello: answerHello()
    case .awaitingWelcome(let pair):
      guard let message = handshakeSource.next() else { return }
      let header = ControlMessageHeader(reading: message.baseAddress.unsafelyUnwrapped)
      handshakeSource.consume(message)
      if header.kind == ControlMessageHeader.Kind.refuse.rawValue {
        pair.refused(ControlMessageHeader.Refusal(rawValue: header.detail) ?? .malformed)
        terminate()
      } else {
        phase = .awaitingResume(pair)
      }
    case .awaitingResume(let pair):
      phase = .primary(pair)
      handshakeTimer?.cancel()
      pair.opened(self)
    case .primary, .secondary, .closed: break
    }
  }

  private func answerHello() {
    guard let context, let message = handshakeSource.next() else { return }
    let hello = Handshake.Hello(reading: message)
    handshakeSource.consume(message)
    guard let pair = loop.secondary(hello.pair) else { return refuse(hello.pair, .unknownPair, hello) }
    if let reason = hello.refusal(by: pair.endpoint) { return refuse(hello.pair, reason, hello) }
    phase = .secondary(pair)
    handshakeTimer?.cancel()
    let (epoch, voted, applied) = pair.takeOver(self)
    let answer = Handshake.welcome(
      pair: hello.pair, epoch: epoch, voted: voted, applied: applied, context.channel.allocator)
    loop.counters.sent(ControlMessageHeader.Kind.welcome.rawValue, byteCount: ControlMessageHeader.byteCount)
    loop.counters.sent(ControlMessageHeader.Kind.resume.rawValue, byteCount: ControlMessageHeader.byteCount + 8)
    send(answer)
    pair.opened(by: hello.node)
  }

  private func refuse(_ pair: UInt16, _ reason: ControlMessageHeader.Refusal, _ hello: Handshake.Hello? = nil) {
    guard let context else { return }
    loop.counters.count(.refusalsSent)
    var facts = metadata
    facts["pair"] = "\(pair)"
    facts["reason"] = "\(reason)"
    if let hello {
      facts["peer"] = "\(hello.node)"
      facts["nf"] = "\(hello.networkFunction)"
      facts["state"] = "\(hello.stateEntrySize)"
    }
    loop.logger.warning("refused a connection", metadata: facts)
    loop.counters.sent(ControlMessageHeader.Kind.refuse.rawValue, byteCount: ControlMessageHeader.byteCount)
    send(Handshake.refuse(pair: pair, reason, context.channel.allocator))
    terminate()
  }

  private func reject(_ reason: BadMessage) {
    loop.counters.count(reason)
    var facts = metadata
    facts["reason"] = "\(reason)"
    loop.logger.warning("bad message, closing", metadata: facts)
    guard case .awaitingHello = phase else { return terminate() }
    refuse(0, reason == .version ? .version : .malformed)
  }
}
