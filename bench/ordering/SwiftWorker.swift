import COrderingTwin
import DEFTCore
import DEFTDataplane
import DEFTMailbox
import DEFTWire
import NetworkFunctions

/// The shipping `PrimaryReplica` in the loop of `PrimaryStage.poll` without its rings, and a peer that reads the messages
/// and votes a few batches later. `worker.c` is the same, line for line.
struct SwiftWorker: ~Copyable {
  private static var burst: Int { 64 }
  private static var releaseBurst: Int { 128 }
  private static var voteLag: UInt64 { 4 }
  private static var nanosecondsPerPoll: UInt64 { 1000 }

  private var replica: PrimaryReplica<Monitor, MbufStorage, MessageProducer>
  private let rings: [MessageRing]
  private var prepares: MessageConsumer
  private var commits: MessageConsumer
  private var votes: MessageConsumer
  private var voter: MessageProducer
  private var prepared: UInt64 = 0
  private var applied: UInt64 = 0
  private var acknowledged: UInt64 = 0
  private(set) var freed: UInt64 = 0
  private var refused: UInt64 = 0
  private var now: UInt64 = 0
  private let digestsOutputs: Bool
  private var outputDigest: UInt64 = 0
  private let unwanted: UnsafeMutablePointer<Packet>
  private let outgoing: UnsafeMutablePointer<Packet>
  private let freedPassed: UnsafeMutablePointer<Packet>
  private let freedDropped: UnsafeMutablePointer<Packet>

  init(_ setup: WorkerSetup, memory: TableMemory, digestsOutputs: Bool) {
    self.digestsOutputs = digestsOutputs
    // One block for the bursts, ahead of the tables, as in the C worker.
    let bursts = Self.burst + 3 * Self.releaseBurst
    unwanted = memory(bursts * MemoryLayout<Packet>.stride).bindMemory(to: Packet.self, capacity: bursts)
    outgoing = unwanted + Self.burst
    freedPassed = outgoing + Self.releaseBurst
    freedDropped = freedPassed + Self.releaseBurst
    let prepareRing = MessageRing(capacity: setup.prepareBytes)
    let commitRing = MessageRing(capacity: setup.commitBytes)
    let voteRing = MessageRing(capacity: setup.voteBytes)
    rings = [prepareRing, commitRing, voteRing]
    replica = PrimaryReplica(
      function: Monitor(), configuration: setup.replication, layout: setup.layout,
      prepares: MessageProducer(prepareRing, retaining: true), commits: MessageProducer(commitRing, retaining: true),
      closeCapacity: setup.closeCapacity, memory: memory)
    prepares = MessageConsumer(prepareRing)
    commits = MessageConsumer(commitRing)
    votes = MessageConsumer(voteRing)
    voter = MessageProducer(voteRing, retaining: false)
  }

  deinit {
    for ring in rings { ring.deallocate() }
  }

  /// Polls until all packets have been taken; what is in flight then stays so.
  @inline(never)
  mutating func run(_ packets: UnsafePointer<Packet>, count: Int) {
    var taken = 0
    while taken < count {
      taken &+= poll(packets + taken, count: count &- taken, isDry: false)
      readMessages(lag: Self.voteLag)
    }
  }

  /// Polls without input until everything is voted, released and committed; false if that does not happen.
  mutating func drain() -> Bool {
    var none: Packet = outgoing[0]
    for _ in 0..<1_000_000 {
      if replica.isQuiescent { return true }
      withUnsafePointer(to: &none) { _ = poll($0, count: 0, isDry: true) }
      readMessages(lag: Self.voteLag)
      vote(prepared)
    }
    return false
  }

  // MARK: the stage

  @inline(__always)
  private mutating func poll(_ packets: UnsafePointer<Packet>, count: Int, isDry: Bool) -> Int {
    now &+= Self.nanosecondsPerPoll
    while let message = votes.next() {
      _ = replica.receive(message)
      votes.consume(message)
    }
    _ = replica.acknowledged(acknowledged)
    let released = replica.release(into: outgoing, capacity: Self.releaseBurst)
    if digestsOutputs { digest(outgoing, count: released) }
    acknowledged &+= UInt64(released)
    let (passed, dropped) = replica.takeFreed(passed: freedPassed, dropped: freedDropped, capacity: Self.releaseBurst)
    if digestsOutputs { digest(freedPassed, count: passed) }
    freed &+= UInt64(passed &+ dropped)
    while let flowID = replica.nextCommittedClose() { outputDigest = ot_mix(outputDigest, UInt64(flowID)) }
    let taken = min(replica.room, Self.burst, count)
    if taken > 0 { refused &+= UInt64(replica.process(packets, count: taken, unwanted: unwanted, now: now)) }
    _ = replica.closeBatchIfDue(inputIsDry: isDry, now: now)
    return taken
  }

  // MARK: the peer

  @inline(__always)
  private mutating func readMessages(lag: UInt64) {
    while let message = commits.next() {
      applied = ControlMessageHeader(reading: message.baseAddress.unsafelyUnwrapped).batch
      if digestsOutputs { digest(message) }
      commits.consume(message)
    }
    while let message = prepares.next() {
      prepared &+= 1
      if digestsOutputs { digest(message) }
      prepares.consume(message)
      if prepared > lag { vote(prepared &- lag) }
    }
  }

  @inline(__always)
  private mutating func vote(_ batch: UInt64) {
    let length = ControlMessageHeader.byteCount + 8
    guard let message = voter.reserve(length) else { return }
    ControlMessageHeader(
      kind: .vote, pair: replica.configuration.pair, epoch: replica.configuration.epoch, batch: batch, length: length
    ).write(to: message)
    (message + ControlMessageHeader.byteCount).storeBytes(of: applied, as: UInt64.self)
    voter.publish(through: voter.append(length))
  }

  // MARK: digests of what is put out; only in a run that is not timed

  @inline(never)
  private mutating func digest(_ packets: UnsafeMutablePointer<Packet>, count: Int) {
    for index in 0..<count {
      let packet = packets[index].pointee
      outputDigest = ot_mix(outputDigest, UInt64(packet.flowID) << 32 | UInt64(packet.counter))
      outputDigest = ot_mix(outputDigest, UInt64(packet.previousPassed))
    }
  }

  @inline(never)
  private mutating func digest(_ message: UnsafeRawBufferPointer) {
    for offset in stride(from: 0, to: message.count, by: 8) {
      outputDigest = ot_mix(outputDigest, message.load(fromByteOffset: offset, as: UInt64.self))
    }
  }

  func outcome() -> ot_outcome {
    let (states, flows) = replica.digest()
    let counters = replica.counters
    return ot_outcome(
      outputs: outputDigest, states: states, flows: UInt64(flows), received: counters.received,
      processed: counters.processed, released: counters.released, freed: freed, refused: refused,
      batches_prepared: counters.batchesPrepared, batches_voted: counters.batchesVoted,
      state_clocks_taken: counters.stateClocksTaken, state_clocks_applied: counters.stateClocksApplied,
      reordered: counters.reordered, duplicates: counters.duplicates)
  }
}
