/// One segment of a connection.
struct TCPSegment {
  struct Flags: OptionSet {
    let rawValue: UInt8
    static let fin = Flags(rawValue: 0x01)
    static let syn = Flags(rawValue: 0x02)
    static let rst = Flags(rawValue: 0x04)
    static let psh = Flags(rawValue: 0x08)
    static let ack = Flags(rawValue: 0x10)
  }

  var fromInitiator: Bool
  var flags: Flags
  var sequence: UInt32
  var acknowledgment: UInt32
  /// In bytes.
  var payloadLength = 0
  /// In bytes, with options.
  var headerLength: Int { flags.contains(.syn) ? 24 : 20 }
}

/// A TCP connection (RFC 9293) as a tap in the middle of a loss-free path sees it. It knows how many packets it has left,
/// and so opens and closes within them.
///
/// | phase       | left             | sends                          | next        |
/// |-------------|------------------|--------------------------------|-------------|
/// | closed      |                  | initiator: SYN                 | synSent     |
/// | closed      | (unanswered)     | initiator: SYN, again and again| closed      |
/// | synSent     | 1                | responder: RST (refused)       | over        |
/// | synSent     | more             | responder: SYN ACK             | synReceived |
/// | synReceived |                  | initiator: ACK                 | established |
/// | established | more, or ending open | either: data or ACK        | established |
/// | established | 3, ending fin    | one side: FIN ACK              | finSent     |
/// | established | 1, ending fin or reset | one side: RST ACK        | over        |
/// | finSent     |                  | the other side: FIN ACK        | lastAck     |
/// | lastAck     |                  | the first side: ACK            | over        |
/// | over        | prohibited: its last packet was the flow's last |||
struct TCPConversation {
  enum Ending { case fin, reset, open }
  enum Phase { case closed, synSent, synReceived, established, finSent, lastAck, over }

  /// One side's own numbers.
  private struct Side {
    /// The sequence number it sends next.
    var next: UInt32
    /// Up to here the other side has acknowledged.
    var acknowledged: UInt32
  }

  private(set) var phase = Phase.closed
  private let ending: Ending
  private let answered: Bool
  private let initiatorCloses: Bool
  private var initiator: Side
  private var responder: Side

  init(ending: Ending, answered: Bool, random: inout SeededGenerator) {
    self.ending = ending
    self.answered = answered
    let numbers = random.next()
    initiatorCloses = random.chance(2, of: 3)
    initiator = Side(next: UInt32(truncatingIfNeeded: numbers), acknowledged: UInt32(truncatingIfNeeded: numbers))
    responder = Side(next: UInt32(numbers >> 32), acknowledged: UInt32(numbers >> 32))
  }

  /// Connection management, not data: these follow each other at once.
  var isHandshake: Bool {
    answered && (phase == .synSent || phase == .synReceived || phase == .finSent || phase == .lastAck)
  }

  /// The next segment.
  /// - Parameters:
  ///   - left: packets the conversation may send yet, this one included.
  ///   - headerLength: bytes of the frame in front of the TCP header.
  mutating func next(left: Int, headerLength: Int, sizes: inout SizeMix, random: inout SeededGenerator) -> TCPSegment {
    precondition(left > 0)
    switch phase {
    case .closed:
      if answered { phase = .synSent }
      sizes.small()
      let first = initiator.acknowledged
      initiator.next = first &+ 1
      return TCPSegment(fromInitiator: true, flags: .syn, sequence: first, acknowledgment: 0)
    case .synSent where left == 1:
      phase = .over
      sizes.small()
      return TCPSegment(fromInitiator: false, flags: [.rst, .ack], sequence: 0, acknowledgment: initiator.next)
    case .synSent:
      phase = .synReceived
      return send(fromInitiator: false, [.syn, .ack], advance: 1, &sizes)
    case .synReceived:
      phase = .established
      return send(fromInitiator: true, .ack, advance: 0, &sizes)
    case .established:
      if ending == .fin, left == 3 {
        phase = .finSent
        return send(fromInitiator: initiatorCloses, [.fin, .ack], advance: 1, &sizes)
      }
      if ending != .open, left == 1 {
        phase = .over
        return send(fromInitiator: initiatorCloses, [.rst, .ack], advance: 0, &sizes)
      }
      return data(headerLength: headerLength, &sizes, &random)
    case .finSent:
      phase = .lastAck
      return send(fromInitiator: !initiatorCloses, [.fin, .ack], advance: 1, &sizes)
    case .lastAck:
      phase = .over
      return send(fromInitiator: initiatorCloses, .ack, advance: 0, &sizes)
    case .over:
      preconditionFailure("a segment after the end of the connection")
    }
  }

  private mutating func data(headerLength: Int, _ sizes: inout SizeMix, _ random: inout SeededGenerator) -> TCPSegment {
    // Servers send more than clients. As who sends is drawn anew for each segment, a window of 65,535 bytes never fills.
    // One segment in four is a mere acknowledgment, if there is anything to acknowledge; otherwise it would be a
    // duplicate, which means loss.
    let fromInitiator = random.chance(1, of: 3)
    let receiver = fromInitiator ? responder : initiator
    let onlyAcknowledge = random.chance(1, of: 4) && receiver.next != receiver.acknowledged
    if onlyAcknowledge { return send(fromInitiator: fromInitiator, .ack, advance: 0, &sizes) }
    let length = max(1, sizes.any(&random).rawValue - headerLength - 20)
    return send(fromInitiator: fromInitiator, [.psh, .ack], payload: length)
  }

  /// A segment without payload, that is a small frame. `advance`: SYN and FIN take one sequence number.
  private mutating func send(
    fromInitiator: Bool, _ flags: TCPSegment.Flags, advance: UInt32, _ sizes: inout SizeMix
  ) -> TCPSegment {
    sizes.small()
    var segment = send(fromInitiator: fromInitiator, flags, payload: Int(advance))
    segment.payloadLength = 0
    return segment
  }

  private mutating func send(fromInitiator: Bool, _ flags: TCPSegment.Flags, payload: Int) -> TCPSegment {
    if !fromInitiator { swap(&initiator, &responder) }
    defer { if !fromInitiator { swap(&initiator, &responder) } }
    // From here on `initiator` is the sender.
    let segment = TCPSegment(
      fromInitiator: fromInitiator, flags: flags, sequence: initiator.next, acknowledgment: responder.next,
      payloadLength: payload)
    initiator.next &+= UInt32(payload)
    responder.acknowledged = responder.next
    return segment
  }
}
