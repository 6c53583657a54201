/// One flow, as a new egress has to begin with it (R12): what it counts as let out. 16 bytes.
///
/// ```
///  0  flow ID (32)     4  counter of the last packet let out (32); 0: none yet
///  8  closed (32)     12  zero (32)
/// ```
@frozen
public struct EgressEntry: Equatable, Sendable, BitwiseCopyable {
  public var flowID: UInt32
  public var last: UInt32
  /// 1: the generation has ended, and a later one may begin.
  public var isClosed: UInt32
  public static let byteCount = 16

  @inlinable
  public init(flowID: UInt32, last: UInt32, isClosed: Bool) {
    self.flowID = flowID
    self.last = last
    self.isClosed = isClosed ? 1 : 0
  }
  @inlinable
  public init(reading bytes: UnsafeRawPointer) {
    flowID = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    last = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    isClosed = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
  }
  @inlinable
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: flowID.littleEndian, toByteOffset: 0, as: UInt32.self)
    bytes.storeBytes(of: last.littleEndian, toByteOffset: 4, as: UInt32.self)
    bytes.storeBytes(of: isClosed.littleEndian, toByteOffset: 8, as: UInt32.self)
    bytes.storeBytes(of: 0, toByteOffset: 12, as: UInt32.self)
  }
}
