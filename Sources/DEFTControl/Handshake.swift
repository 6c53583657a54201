import DEFTWire
import NIOCore

/// The messages by which a connection opens. The primary's node dials and says `hello`; the secondary's node answers
/// `welcome` and `resume`, or `refuse`.
enum Handshake {
  typealias Header = ControlMessageHeader
  static let longestName = 1024

  /// A primary's introduction: one 64-bit word, the size of a state entry, then the NF's name, padded with zeros.
  struct Hello {
    var node: UInt32
    var pair: UInt16
    var epoch: UInt32
    var stateEntrySize: UInt64
    var networkFunction: String

    init(node: UInt32, endpoint: PrimaryEndpoint) {
      self.node = node
      pair = endpoint.pair
      epoch = endpoint.epoch
      stateEntrySize = UInt64(endpoint.stateEntrySize)
      networkFunction = endpoint.networkFunction
    }

    /// `message` is a whole hello whose header has no defect.
    init(reading message: UnsafeRawBufferPointer) {
      let header = Header(reading: message.baseAddress.unsafelyUnwrapped)
      node = header.detail
      pair = header.pair
      epoch = header.epoch
      stateEntrySize = UInt64(littleEndian: message.loadUnaligned(fromByteOffset: Header.byteCount, as: UInt64.self))
      let name = Header.byteCount + 8
      networkFunction = String(decoding: message[name..<name + Int(header.count)], as: UTF8.self)
    }

    func encoded(_ allocator: ByteBufferAllocator) -> ByteBuffer {
      let name = Array(networkFunction.utf8)
      let padding = (8 - name.count % 8) % 8
      let length = Header.byteCount + 8 + name.count + padding
      var buffer = allocator.buffer(capacity: length)
      buffer.write(
        Header(
          kind: .hello, pair: pair, epoch: epoch, batch: 0, count: UInt32(name.count), detail: node, length: length))
      buffer.writeInteger(stateEntrySize, endianness: .little)
      buffer.writeBytes(name)
      buffer.writeRepeatingByte(0, count: padding)
      return buffer
    }

    /// nil: the secondary takes part.
    func refusal(by endpoint: SecondaryEndpoint) -> Header.Refusal? {
      guard networkFunction == endpoint.networkFunction else { return .networkFunction }
      guard stateEntrySize == UInt64(endpoint.stateEntrySize) else { return .stateSize }
      return nil
    }
  }

  static func refuse(pair: UInt16, _ reason: Header.Refusal, _ allocator: ByteBufferAllocator) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: Header.byteCount)
    buffer.write(
      Header(kind: .refuse, pair: pair, epoch: 0, batch: 0, detail: reason.rawValue, length: Header.byteCount))
    return buffer
  }

  /// `welcome` and the `resume` that follows it at once (R13).
  static func welcome(pair: UInt16, epoch: UInt32, voted: UInt64, applied: UInt64, _ allocator: ByteBufferAllocator)
    -> ByteBuffer
  {
    var buffer = allocator.buffer(capacity: 2 * Header.byteCount + 8)
    buffer.write(Header(kind: .welcome, pair: pair, epoch: epoch, batch: 0, length: Header.byteCount))
    buffer.write(Header(kind: .resume, pair: pair, epoch: epoch, batch: voted, length: Header.byteCount + 8))
    buffer.writeInteger(applied, endianness: .little)
    return buffer
  }
}

extension ByteBuffer {
  fileprivate mutating func write(_ header: ControlMessageHeader) {
    writeWithUnsafeMutableBytes(minimumWritableBytes: ControlMessageHeader.byteCount) { room in
      header.write(to: room.baseAddress.unsafelyUnwrapped)
      return ControlMessageHeader.byteCount
    }
  }
}

extension ControlMessageHeader.Refusal {
  /// For the log.
  var explanation: String {
    switch self {
    case .version: "the peer speaks another version of the protocol"
    case .networkFunction: "the two run different network functions"
    case .stateSize: "the two lay out the network function's state differently"
    case .unknownPair: "the peer does not host the secondary of this pair"
    case .malformed: "the peer could not read the hello"
    }
  }
}
