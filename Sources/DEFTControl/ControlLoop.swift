import DEFTMailbox
import DEFTWire
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// What a control thread works with. Everything but the `let`s is confined to the event loop.
///
/// The pump moves messages between rings and sockets until nothing more can be moved, then tells the doorbell that it
/// sleeps, looks once more, and goes back to the event loop. It runs when the doorbell rings, when a socket takes bytes
/// again, when a connection opens, and every millisecond while something waits that nobody rings for. A thread that has a
/// CPU to itself does not sleep as long as there is work (`BusyPoller`); one that has not looks again after
/// `loadedInterval` while lcores say that they are loaded.
final class ControlLoop: @unchecked Sendable {
  /// A read takes at most so much, bytes: small enough to be in the second-level cache when it is copied to the ring.
  private static let readSize = 256 << 10
  /// More than the high mark is not handed to NIO; below the low mark sending goes on. Bytes.
  private static let writeMarks = ChannelOptions.Types.WriteBufferWaterMark(low: 1 << 20, high: 4 << 20)
  /// How soon waiting things are looked at again.
  private static let patience = TimeAmount.milliseconds(1)
  /// Under load, on a CPU that lcores need: the rings are looked at this often, and nobody is woken. A wake-up costs the
  /// lcore that rings several microseconds, which at full speed are a hundred packets.
  private static let loadedInterval = TimeAmount.microseconds(50)
  /// How long a vote is waited for.
  private static let lingering = TimeAmount.microseconds(12)
  /// Looks that may find nothing before the doorbell is trusted again.
  private static let fruitlessLimit = 32
  private static let connectLimit = TimeAmount.seconds(2)
  /// Rounds of the pump before sockets get their turn.
  private static let roundLimit = 4

  let eventLoop: any EventLoop
  let nodeID: UInt32
  let logger: Logger
  let counters = ControlCounters()
  private let doorbell: Doorbell
  /// Read by any thread.
  private let pairStatus = Mutex<[ControlStatus.Pair]>([])

  private(set) var isRunning = false
  /// One buffer for all connections: only one write is being put together at a time.
  var outbound: OutboundBatch
  private var primaries: [PrimaryPair] = []
  private var secondaries: [SecondaryPair] = []
  /// Every connection that lives, so that `stop` ends them all.
  private var connections: [ObjectIdentifier: PeerConnection] = [:]
  private var server: (any Channel)?
  private var bell: (any Channel)?
  private var isPumping = false
  private var hasMissedPump = false
  private var timer: Scheduled<Void>?
  private let poller: BusyPoller?
  private var isLookScheduled = false
  private var fruitlessLooks = 0

  init(_ thread: ControlThread, nodeID: UInt32, doorbell: Doorbell, logger: Logger) {
    poller = thread.poller
    eventLoop = thread.eventLoop
    self.nodeID = nodeID
    self.doorbell = doorbell
    self.logger = logger
    outbound = OutboundBatch(ByteBufferAllocator())
  }

  // MARK: life

  /// Takes over the two channels and begins to work.
  func run(server: any Channel, bell: any Channel) {
    eventLoop.assertInEventLoop()
    self.server = server
    self.bell = bell
    isRunning = true
    poller?.add(self)
    for pair in primaries { pair.dial() }
    pump()
  }

  func quiesce() {
    if isRunning { pump() }
    isRunning = false
  }

  func stop() {
    eventLoop.assertInEventLoop()
    if isRunning { pump() }
    isRunning = false
    poller?.remove(self)
    timer?.cancel()
    for pair in primaries { pair.remove() }
    for pair in secondaries { pair.remove() }
    for connection in Array(connections.values) { connection.terminate() }
    server?.close(promise: nil)
    bell?.close(promise: nil)
    // Pairs and this object hold each other; the status keeps what it knew of them.
    primaries = []
    secondaries = []
    server = nil
    bell = nil
    // From here on lcores that ring find nobody asleep, and write nothing.
    doorbell.stayAwake()
  }

  // MARK: pairs

  func add(_ endpoint: PrimaryEndpoint, host: String, port: Int) throws {
    guard !primaries.contains(where: { $0.endpoint.pair == endpoint.pair }) else {
      throw ControlError.duplicatePair(endpoint.pair)
    }
    let pair = PrimaryPair(endpoint, host: host, port: port, self)
    primaries.append(pair)
    statusChanged()
    if isRunning { pair.dial() }
  }

  func add(_ endpoint: SecondaryEndpoint) throws {
    guard secondary(endpoint.pair) == nil else { throw ControlError.duplicatePair(endpoint.pair) }
    secondaries.append(SecondaryPair(endpoint, self))
    statusChanged()
    // Its outbox is read from now on: the sleeper has to know it.
    pump()
  }

  func remove(_ number: UInt16) {
    for pair in primaries where pair.endpoint.pair == number { pair.remove() }
    for pair in secondaries where pair.endpoint.pair == number { pair.remove() }
    primaries.removeAll { $0.endpoint.pair == number }
    secondaries.removeAll { $0.endpoint.pair == number }
    statusChanged()
  }

  func cut(_ number: UInt16) {
    for pair in primaries where pair.endpoint.pair == number { pair.connection?.terminate(abruptly: true) }
    for pair in secondaries where pair.endpoint.pair == number { pair.connection?.terminate(abruptly: true) }
  }

  func secondary(_ number: UInt16) -> SecondaryPair? { secondaries.first { $0.endpoint.pair == number } }

  // MARK: status

  func statusChanged() {
    let all = (primaries.map(\.status) + secondaries.map(\.status)).sorted { $0.number < $1.number }
    pairStatus.withLock { $0 = all }
  }

  /// Any thread.
  var status: ControlStatus { ControlStatus(counters, pairs: pairStatus.withLock { $0 }) }

  // MARK: connections

  func adopt(_ connection: PeerConnection) {
    connections[ObjectIdentifier(connection)] = connection
    if !isRunning { connection.terminate() }
  }
  func forget(_ connection: PeerConnection) { connections[ObjectIdentifier(connection)] = nil }

  // The sockets' buffers are left to the kernel, which sizes them as it goes: fixed ones of 0.5 to 4 MiB measured no better
  // on loopback, neither in bytes/s nor in round trips.

  func listen(host: String, port: Int) -> EventLoopFuture<any Channel> {
    ServerBootstrap(group: eventLoop)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
      .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: ControlLoop.readSize))
      .childChannelOption(.writeBufferWaterMark, value: ControlLoop.writeMarks)
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(PeerConnection(self, dialing: nil))
        }
      }
      .bind(host: host, port: port)
  }

  func connect(to host: String, port: Int, for pair: PrimaryPair) -> EventLoopFuture<any Channel> {
    let bootstrap = ClientBootstrap(group: eventLoop)
      .connectTimeout(ControlLoop.connectLimit)
      .channelOption(.socketOption(.tcp_nodelay), value: 1)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: ControlLoop.readSize))
      .channelOption(.writeBufferWaterMark, value: ControlLoop.writeMarks)
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(PeerConnection(self, dialing: pair))
        }
      }
    // A literal address needs no resolver, and so no other thread.
    if let address = try? SocketAddress(ipAddress: host, port: port) { return bootstrap.connect(to: address) }
    return bootstrap.connect(host: host, port: port)
  }

  func watchDoorbell() -> EventLoopFuture<any Channel> {
    NIOPipeBootstrap(group: eventLoop)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64))
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(DoorbellHandler(self))
        }
      }
      .takingOwnershipOfDescriptor(input: doorbell.readDescriptor)
  }

  // MARK: the pump

  func wokenUp() {
    fruitlessLooks = 0
    pump()
  }

  func pump() {
    eventLoop.assertInEventLoop()
    guard isRunning else { return }
    // Writing may call back that the socket takes bytes again.
    if isPumping {
      hasMissedPump = true
      return
    }
    isPumping = true
    defer { isPumping = false }
    if let poller, poller.stayAwake() { return move() }
    for _ in 0..<ControlLoop.roundLimit {
      hasMissedPump = false
      move()
      if doorbell.isLoaded, fruitlessLooks < ControlLoop.fruitlessLimit { return lookUnderLoad() }
      doorbell.prepareToSleep()
      if !hasWork() && !hasMissedPump {
        if isWaiting { lookAgainSoon() }
        return
      }
    }
    doorbell.stayAwake()
    eventLoop.execute { self.pump() }
  }

  private func move() {
    doorbell.stayAwake()
    for pair in secondaries { pair.turn() }
    for pair in primaries { pair.turn() }
  }

  /// One turn of the busy poller. True if there was work.
  func look() -> Bool {
    guard hasWork() else {
      // Nobody tells when an lcore has made room.
      if isWaiting { move() }
      return false
    }
    isPumping = true
    defer { isPumping = false }
    move()
    return true
  }

  /// The busy poller has found nothing for a while. False if there is work after all.
  func fallAsleep() -> Bool {
    doorbell.prepareToSleep()
    guard !hasWork() else {
      doorbell.stayAwake()
      return false
    }
    if isWaiting { lookAgainSoon() }
    return true
  }

  /// Polls instead of sleeping (as a network driver does under load): the doorbell stays silent meanwhile.
  private func lookUnderLoad() {
    guard !isLookScheduled else { return }
    isLookScheduled = true
    eventLoop.scheduleTask(in: ControlLoop.loadedInterval) {
      self.isLookScheduled = false
      self.fruitlessLooks = self.hasWork() ? 0 : self.fruitlessLooks + 1
      self.pump()
    }
  }

  /// A prepare has just gone to the lcore, which polls and votes within microseconds: waiting for that is cheaper, for both
  /// threads, than going to sleep and being woken. Only where no lcore needs this CPU.
  func linger(for pair: SecondaryPair) {
    guard poller != nil else { return }
    let end = NIODeadline.now() + ControlLoop.lingering
    while !pair.hasWork(), NIODeadline.now() < end {}
    pump()
  }

  private func hasWork() -> Bool {
    for pair in secondaries where pair.hasWork() { return true }
    for pair in primaries where pair.hasWork() { return true }
    return false
  }

  /// Something waits for an lcore that need not ring.
  private var isWaiting: Bool {
    for pair in primaries where pair.awaitsRewind || pair.connection?.isBlocked == true { return true }
    for pair in secondaries where pair.connection?.isBlocked == true { return true }
    return false
  }

  func lookAgainSoon() {
    guard timer == nil, isRunning else { return }
    timer = eventLoop.scheduleTask(in: ControlLoop.patience) {
      self.timer = nil
      self.pump()
    }
  }
}
