import DEFTMailbox
import DEFTWire

/// Cuts a TCP stream into messages and copies each once, from the read buffer straight into the inbox ring, however the
/// stream was cut into reads. Control thread only.
///
/// | state | bytes come | |
/// |---|---|---|
/// | header, fewer than 32 bytes | 32 are complete, judged bad | the connection ends |
/// | header | complete, no room in the sink | header, `sinkFull`: call again once there is room |
/// | header | complete, room | body |
/// | body | some are missing | body |
/// | body | complete | the message is appended; header, 0 bytes |
///
/// Prohibited: any call after `.bad`; another message from the same sink between body and its end (the room is reserved
/// and would be given away). A reader that is dropped in `body` leaves nothing behind: a reservation alone changes nothing.
struct FrameReader: ~Copyable {
  private enum State {
    /// So many bytes of the header are in `header`.
    case header(filled: Int)
    /// `filled` of `length` bytes are at `room`.
    case body(room: UnsafeMutableRawPointer, filled: Int, length: Int, kind: UInt8)
  }
  enum Outcome {
    /// All bytes are used up.
    case needsMore
    /// One message is complete (only when asked for a single one).
    case message
    /// The bytes from `offset` on have to wait.
    case sinkFull
    case bad(BadMessage)
  }

  private static let headerLength = ControlMessageHeader.byteCount
  /// After so many bytes the sink's reader gets to see what has come, bytes.
  private static let publishInterval = 64 << 10

  /// Messages that were taken whole.
  private(set) var messageCount: UInt64 = 0
  private var state = State.header(filled: 0)
  /// A header that came in pieces.
  private let header = UnsafeMutableRawPointer.allocate(byteCount: FrameReader.headerLength, alignment: 8)

  deinit { header.deallocate() }

  /// Takes `bytes` from `offset` on, which is moved.
  mutating func take(
    _ bytes: UnsafeRawBufferPointer, at offset: inout Int, into sink: inout MessageProducer, rules: FrameRules,
    counters: ControlCounters, single: Bool = false
  ) -> Outcome {
    var unpublished = 0
    var position: UInt64 = 0
    defer { if unpublished > 0 { sink.publish(through: position) } }
    while true {
      switch state {
      case .header(let filled):
        let available = bytes.count - offset
        var source = UnsafeRawPointer(header)
        if filled == 0, available >= FrameReader.headerLength {
          source = bytes.baseAddress.unsafelyUnwrapped + offset
        } else if filled < FrameReader.headerLength {
          let part = min(FrameReader.headerLength - filled, available)
          if part > 0 {
            (header + filled).copyMemory(from: bytes.baseAddress.unsafelyUnwrapped + offset, byteCount: part)
          }
          offset += part
          state = .header(filled: filled + part)
          guard filled + part == FrameReader.headerLength else { return .needsMore }
        }
        let values = ControlMessageHeader(reading: source)
        if let bad = rules.judge(values, longest: sink.maximumMessage) { return .bad(bad) }
        guard let room = sink.reserve(Int(values.length)) else { return .sinkFull }
        room.copyMemory(from: source, byteCount: FrameReader.headerLength)
        if source != UnsafeRawPointer(header) { offset += FrameReader.headerLength }
        state = .body(
          room: room, filled: FrameReader.headerLength, length: Int(values.length), kind: values.kind)

      case .body(let room, let filled, let length, let kind):
        let part = min(length - filled, bytes.count - offset)
        if part > 0 {
          (room + filled).copyMemory(from: bytes.baseAddress.unsafelyUnwrapped + offset, byteCount: part)
          offset += part
        }
        guard filled + part == length else {
          state = .body(room: room, filled: filled + part, length: length, kind: kind)
          return .needsMore
        }
        position = sink.append(length)
        state = .header(filled: 0)
        messageCount += 1
        counters.received(kind, byteCount: length)
        unpublished += length
        if unpublished >= FrameReader.publishInterval {
          sink.publish(through: position)
          unpublished = 0
        }
        if single { return .message }
      }
    }
  }
}
