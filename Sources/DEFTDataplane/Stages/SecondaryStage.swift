import CDPDK
import DEFTCore
import DEFTMailbox
import DEFTWire

/// A pair's secondary on an lcore: the protocol's `SecondaryReplica` between its rings.
@usableFromInline
struct SecondaryStage<State: BitwiseCopyable & Sendable>: ~Copyable {
  @usableFromInline static var freeBurst: Int { 128 }
  /// Messages read in one poll, so that a long state clock does not delay the copies for long.
  @usableFromInline static var messageBurst: Int { 8 }

  @usableFromInline var replica: SecondaryReplica<State, MbufStorage>
  @usableFromInline let inputs: UnsafeMutablePointer<OpaquePointer>
  @usableFromInline let inputCount: Int
  @usableFromInline var messages: MessageConsumer
  @usableFromInline var votes: MessageProducer
  @usableFromInline let doorbell: Doorbell
  @usableFromInline let isShared: Bool
  /// What the primary was last told.
  @usableFromInline var toldVoted: UInt64 = 0
  @usableFromInline var toldApplied: UInt64 = 0
  /// What the doorbell was told last.
  @usableFromInline var wasLoaded = false

  @usableFromInline let packets: UnsafeMutablePointer<Packet>
  @usableFromInline let unwanted: UnsafeMutablePointer<Packet>
  @usableFromInline let freed: UnsafeMutablePointer<Packet>

  init(
    replica: consuming SecondaryReplica<State, MbufStorage>, inputs: [OpaquePointer],
    messages: consuming MessageConsumer,
    votes: consuming MessageProducer, doorbell: Doorbell, isShared: Bool
  ) {
    self.replica = replica
    inputCount = inputs.count
    self.inputs = .allocate(capacity: inputs.count)
    self.inputs.initialize(from: inputs, count: inputs.count)
    self.messages = messages
    self.votes = votes
    self.doorbell = doorbell
    self.isShared = isShared
    packets = .allocate(capacity: StamperStage.burst)
    unwanted = .allocate(capacity: StamperStage.burst)
    freed = .allocate(capacity: Self.freeBurst)
  }

  /// Moves what can be moved. Returns how many packets or messages it moved.
  @inlinable @inline(__always)
  mutating func poll() -> Int {
    var moved = 0
    for input in 0..<inputCount {
      let room = min(StamperStage.burst, replica.room)
      guard room > 0 else { break }
      let count = Int(cd_ring_dequeue(inputs[input], handles(packets), UInt32(room)))
      guard count > 0 else { continue }
      let refused = replica.hold(packets, count: count, unwanted: unwanted)
      if refused > 0 { cd_release(handles(unwanted), UInt32(refused), 1, isShared) }
      moved &+= count
    }
    var messageCount = 0
    while messageCount < Self.messageBurst, let message = messages.next() {
      replica.receive(message)
      messages.consume(message)
      messageCount &+= 1
    }
    moved &+= messageCount
    _ = replica.vote()
    if replica.votedBatch != toldVoted || replica.appliedBatch != toldApplied { moved &+= tell() }
    let count = replica.takeFreed(into: freed, capacity: Self.freeBurst)
    if count > 0 { cd_release(handles(freed), UInt32(count), 1, isShared) }
    return moved &+ count
  }

  /// Sends one cumulative vote; tried again at the next poll if the mailbox is full.
  @inline(never) @usableFromInline
  mutating func tell() -> Int {
    let length = ControlMessageHeader.byteCount + 8
    guard let message = votes.reserve(length) else { return 0 }
    ControlMessageHeader(
      kind: .vote, pair: replica.configuration.pair, epoch: replica.configuration.epoch, batch: replica.votedBatch,
      length: length
    ).write(to: message)
    (message + ControlMessageHeader.byteCount).storeBytes(of: replica.appliedBatch.littleEndian, as: UInt64.self)
    votes.publish(through: votes.append(length))
    toldVoted = replica.votedBatch
    toldApplied = replica.appliedBatch
    let isLoaded = replica.promptBatch < replica.votedBatch
    if isLoaded != wasLoaded {
      doorbell.setLoaded(isLoaded)
      wasLoaded = isLoaded
    }
    doorbell.ring()
    return 1
  }
}
