import DEFTWire

// What one burst of packets works on.
extension PrimaryReplica where Log: ~Copyable {
  /// The fields that every packet touches, copied out of the replica for a burst so that they stay in registers: as far as
  /// the compiler knows, a write to a packet, a flow or a list might change any field of the replica itself. Worth 5 to 10 %
  /// of the whole loop. While a copy is at work the replica's own fields are stale: `begin` and `end` pair up around it.
  @frozen @usableFromInline
  struct Burst {
    @usableFromInline let flows: FlowStateTable<Function.State>
    @usableFromInline let output: UnsafeMutablePointer<UInt>
    @usableFromInline let outputMask: UInt64
    @usableFromInline let batchFlows: UnsafeMutablePointer<UInt32>
    @usableFromInline let clockFlows: UnsafeMutablePointer<UInt32>
    @usableFromInline var batchFlowCount: Int
    @usableFromInline var clockFlowCount: Int
    @usableFromInline var tail: UInt64
    /// Packets that the NF processed and dropped since `begin`.
    @usableFromInline var processed: UInt64 = 0
    @usableFromInline var dropped: UInt64 = 0

    @inlinable @inline(__always)
    init(
      flows: FlowStateTable<Function.State>, output: UnsafeMutablePointer<UInt>, outputMask: UInt64,
      batchFlows: UnsafeMutablePointer<UInt32>, clockFlows: UnsafeMutablePointer<UInt32>, batchFlowCount: Int,
      clockFlowCount: Int, tail: UInt64
    ) {
      self.flows = flows
      self.output = output
      self.outputMask = outputMask
      self.batchFlows = batchFlows
      self.clockFlows = clockFlows
      self.batchFlowCount = batchFlowCount
      self.clockFlowCount = clockFlowCount
      self.tail = tail
    }

    /// Enters the flow in the packet clock and the state clock to come, if it is not in them yet.
    @inlinable @inline(__always)
    mutating func note(_ flow: UnsafeMutablePointer<FlowState<Function.State>>) {
      guard let isInStateClock = flow.pointee.enterBatch() else { return }
      let index = UInt32(truncatingIfNeeded: flows.layout.index(flow.pointee.flowID))
      batchFlows[batchFlowCount] = index
      batchFlowCount &+= 1
      if !isInStateClock {
        clockFlows[clockFlowCount] = index
        clockFlowCount &+= 1
      }
    }

    /// The flow's next packet is this one, and its time goes on (R19).
    @inlinable @inline(__always)
    mutating func advance(_ packet: Packet, _ flow: UnsafeMutablePointer<FlowState<Function.State>>) -> PacketContext {
      let context = PacketContext(
        time: max(flow.pointee.time, packet.pointee.time), counter: packet.pointee.counter)
      note(flow)
      flow.goOn(after: packet.stampWord)
      flow.pointee.time = context.time
      return context
    }

    /// Runs the NF on the packet whose turn it is and puts it into the output buffer.
    @inlinable @inline(__always)
    mutating func run(
      _ packet: Packet, _ flow: UnsafeMutablePointer<FlowState<Function.State>>, _ function: borrowing Function
    ) {
      let context = advance(packet, flow)
      var tagged = UInt(bitPattern: packet)
      processed &+= 1
      switch function.process(Storage.view(of: packet), &flow.pointee.state, context) {
      case .pass:
        packet.pointee.previousPassed = flow.pointee.lastPassed
        flow.pointee.lastPassed = context.counter
      case .drop:
        tagged |= 1
        dropped &+= 1
      }
      append(tagged)
    }

    @inlinable @inline(__always)
    mutating func append(_ tagged: UInt) {
      output[Int(truncatingIfNeeded: tail & outputMask)] = tagged
      tail &+= 1
    }
  }

  @inlinable @inline(__always)
  func begin() -> Burst {
    Burst(
      flows: flows, output: output, outputMask: outputMask, batchFlows: batchFlows, clockFlows: clockFlows,
      batchFlowCount: batchFlowCount, clockFlowCount: clockFlowCount, tail: tail)
  }
  @inlinable @inline(__always)
  mutating func end(_ burst: borrowing Burst) {
    batchFlowCount = burst.batchFlowCount
    clockFlowCount = burst.clockFlowCount
    tail = burst.tail
    passed &+= burst.processed &- burst.dropped
    counters.processed &+= burst.processed
    counters.droppedByFunction &+= burst.dropped
  }
}
