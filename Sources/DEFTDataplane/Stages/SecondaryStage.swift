import CDPDK
import DEFTCore
import DEFTMailbox
import DEFTWire

/// A pair's secondary on an lcore: the protocol's `SecondaryReplica` between its rings.
struct SecondaryStage<State: BitwiseCopyable & Sendable>: ~Copyable {
  static var freeBurst: Int { 128 }
  /// Messages read in one poll, so that a long state clock does not delay the copies for long.
  static var messageBurst: Int { 8 }

  var replica: SecondaryReplica<State, MbufStorage>
  private let inputs: UnsafeMutablePointer<OpaquePointer>
  private let inputCount: Int
  private var messages: MessageConsumer
  private var votes: MessageProducer
  private let doorbell: Doorbell
  private let isShared: Bool
  /// What the primary was last told.
  private var toldVoted: UInt64 = 0
  private var toldApplied: UInt64 = 0

  private let packets: UnsafeMutablePointer<Packet>
  private let unwanted: UnsafeMutablePointer<Packet>
  private let freed: UnsafeMutablePointer<Packet>

  init(
    replica: consuming SecondaryReplica<State, MbufStorage>, inputs: [OpaquePointer], messages: consuming MessageConsumer,
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
  @inline(__always)
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
  @inline(never)
  private mutating func tell() -> Int {
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
    doorbell.ring()
    return 1
  }
}
