import DEFTMailbox
import DEFTWire

@testable import DEFTControl

/// Messages as bytes, to be damaged.
enum RawMessage {
  static func hello(
    pair: UInt16, networkFunction: String = "fake", stateEntrySize: UInt64 = UInt64(TestMessage.stateEntrySize)
  ) -> [UInt8] {
    let name = Array(networkFunction.utf8)
    let padded = (name.count + 7) / 8 * 8
    var bytes = header(
      ControlMessageHeader(
        kind: .hello, pair: pair, epoch: 1, batch: 0, count: UInt32(name.count), detail: 99, length: 40 + padded))
    withUnsafeBytes(of: stateEntrySize.littleEndian) { bytes.append(contentsOf: $0) }
    return bytes + name + Array(repeating: 0, count: padded - name.count)
  }

  /// A message of `kind` whose body is a single word.
  static func word(_ kind: ControlMessageHeader.Kind, pair: UInt16, batch: UInt64, word: UInt64 = 0) -> [UInt8] {
    var bytes = header(ControlMessageHeader(kind: kind, pair: pair, epoch: 1, batch: batch, length: 40))
    withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
    return bytes
  }

  static func bare(_ kind: ControlMessageHeader.Kind, pair: UInt16, detail: UInt32 = 0) -> [UInt8] {
    header(ControlMessageHeader(kind: kind, pair: pair, epoch: 1, batch: 0, detail: detail, length: 32))
  }

  static func header(_ header: ControlMessageHeader) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: ControlMessageHeader.byteCount)
    bytes.withUnsafeMutableBytes { header.write(to: $0.baseAddress!) }
    return bytes
  }

  static func readHeader(_ bytes: [UInt8]) -> ControlMessageHeader? {
    guard bytes.count >= ControlMessageHeader.byteCount else { return nil }
    return bytes.withUnsafeBytes { ControlMessageHeader(reading: $0.baseAddress!) }
  }
}
