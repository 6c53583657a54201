/// Consecutive packets of one flow: what is asked for, not held, or declared lost (R5, R10). 16 bytes.
///
/// ```
///  0  flow ID (32)     4  first counter (32)
///  8  count (32)      12  zero (32)
/// ```
@frozen
public struct PacketRange: Equatable, Sendable, BitwiseCopyable {
  public var flowID: UInt32
  /// Counter of the first one.
  public var from: UInt32
  public var count: UInt32
  public static let byteCount = 16

  @inlinable
  public init(flowID: UInt32, from: UInt32, count: UInt32) {
    self.flowID = flowID
    self.from = from
    self.count = count
  }
  /// From `from` up to but not including `end`; counters wrap.
  @inlinable
  public init(flowID: UInt32, from: UInt32, end: UInt32) {
    self.init(flowID: flowID, from: from, count: end &- from)
  }

  /// The counter behind the last one.
  @inlinable public var end: UInt32 { from &+ count }
  @inlinable
  public func contains(_ flowID: UInt32, _ counter: UInt32) -> Bool {
    self.flowID == flowID && counter &- from < count
  }

  @inlinable
  public init(reading bytes: UnsafeRawPointer) {
    flowID = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    from = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    count = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
  }
  @inlinable
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: flowID.littleEndian, toByteOffset: 0, as: UInt32.self)
    bytes.storeBytes(of: from.littleEndian, toByteOffset: 4, as: UInt32.self)
    bytes.storeBytes(of: count.littleEndian, toByteOffset: 8, as: UInt32.self)
    bytes.storeBytes(of: 0, toByteOffset: 12, as: UInt32.self)
  }
}

/// The front of one original on its way to the other replica (R10): its stamp and layout; the frame follows, padded to a
/// multiple of 8 bytes. 24 bytes.
///
/// ```
///  0  stamp time (64)
///  8  flow ID (32)    12  counter (32)
/// 16  layout (32)     20  zero (32)
/// 24  the original frame
/// ```
@frozen
public struct PacketImage: Equatable, Sendable, BitwiseCopyable {
  /// ns since 1970.
  public var time: UInt64
  public var flowID: UInt32
  public var counter: UInt32
  /// As the sender parsed it. A receiver that reads frames by it parses them anew: this came over a network.
  public var layout: FrameLayout
  public static let byteCount = 24

  @inlinable
  public init(time: UInt64, flowID: UInt32, counter: UInt32, layout: FrameLayout) {
    self.time = time
    self.flowID = flowID
    self.counter = counter
    self.layout = layout
  }

  /// Bytes of the whole message that carries a frame of so many bytes.
  @inlinable
  public static func messageLength(frameLength: Int) -> Int {
    ControlMessageHeader.byteCount + byteCount + (frameLength + 7) / 8 * 8
  }

  @inlinable
  public init(reading bytes: UnsafeRawPointer) {
    time = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    flowID = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    counter = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    layout = FrameLayout(rawValue: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self)))
  }
  @inlinable
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: time.littleEndian, toByteOffset: 0, as: UInt64.self)
    bytes.storeBytes(of: flowID.littleEndian, toByteOffset: 8, as: UInt32.self)
    bytes.storeBytes(of: counter.littleEndian, toByteOffset: 12, as: UInt32.self)
    bytes.storeBytes(of: layout.rawValue.littleEndian, toByteOffset: 16, as: UInt32.self)
    bytes.storeBytes(of: 0, toByteOffset: 20, as: UInt32.self)
  }
}
