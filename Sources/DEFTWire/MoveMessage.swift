/// Which migration of which flow group a message belongs to, and which of the group's flows it is about. 32 bytes.
///
/// ```
///  0  group (32)            4  version of the map's entry for the group when the migration began (32)
///  8  source pair (32)     12  source pair's epoch then (32)
/// 16  from (32)            20  end (32): flows from ..< end of the group, counted by index
/// 24  0 (64)
/// ```
@frozen
public struct MoveHeader: Equatable, Sendable, BitwiseCopyable {
  public var group: UInt32
  public var version: UInt32
  public var sourcePair: UInt32
  public var sourceEpoch: UInt32
  public var from: UInt32
  public var end: UInt32
  public static let byteCount = 32

  @inlinable
  public init(group: UInt32, version: UInt32, sourcePair: UInt32, sourceEpoch: UInt32, from: UInt32, end: UInt32) {
    self.group = group
    self.version = version
    self.sourcePair = sourcePair
    self.sourceEpoch = sourceEpoch
    self.from = from
    self.end = end
  }

  @inlinable
  public init(reading bytes: UnsafeRawPointer) {
    func word(_ offset: Int) -> UInt32 {
      UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    self.init(
      group: word(0), version: word(4), sourcePair: word(8), sourceEpoch: word(12), from: word(16), end: word(20))
  }

  @inlinable
  public func write(to bytes: UnsafeMutableRawPointer) {
    for (place, word) in [group, version, sourcePair, sourceEpoch, from, end, 0, 0].enumerated() {
      bytes.storeBytes(of: word.littleEndian, toByteOffset: 4 * place, as: UInt32.self)
    }
  }
}
