import DEFTWire

/// What the protocol knows of one packet in flight. 24 bytes, laid out the same in an mbuf's dynamic field and in the
/// simulator's memory; a packet is named by the address of this block.
@frozen
public struct PacketMetadata: BitwiseCopyable {
  /// Stamp time, ns since 1970 (C3‖C4).
  public var time: UInt64
  /// C1.
  public var flowID: UInt32
  /// C2.
  public var counter: UInt32
  /// R1: counter of the flow's last packet before this one that the NF passed; set when the NF passes this one.
  public var previousPassed: UInt32
  /// Parsed once, by the stage that received the frame.
  public var layout: FrameLayout
  @inlinable @inline(__always)
  public init(time: UInt64, flowID: UInt32, counter: UInt32, previousPassed: UInt32 = 0, layout: FrameLayout) {
    self.time = time
    self.flowID = flowID
    self.counter = counter
    self.previousPassed = previousPassed
    self.layout = layout
  }
}

/// A packet, by the address of its metadata. The core never allocates or frees one: who holds it is counted by the shell,
/// and every call that gives a holder's reference back says so.
public typealias Packet = UnsafeMutablePointer<PacketMetadata>

#if _endian(big)
  #error("DEFT runs on little-endian hosts only")
#endif

extension UnsafeMutablePointer where Pointee == PacketMetadata {
  /// Flow ID (low half) and counter in one word. The stamper writes them as one, and whoever compares reads them as one: a load
  /// that spans two stores waits until both have left the store buffer.
  @inlinable @inline(__always)
  public var stampWord: UInt64 { UnsafeRawPointer(self).load(fromByteOffset: 8, as: UInt64.self) }

  /// Fills the block of a packet that goes in now. `previousPassed`, which comes with the NF's verdict, is 0.
  @inlinable @inline(__always)
  public func stamp(flowID: UInt32, counter: UInt32, time: UInt64, layout: FrameLayout) {
    let block = UnsafeMutableRawPointer(self)
    block.storeBytes(of: time, as: UInt64.self)
    block.storeBytes(of: UInt64(flowID) | UInt64(counter) << 32, toByteOffset: 8, as: UInt64.self)
    block.storeBytes(of: UInt64(layout.rawValue) << 32, toByteOffset: 16, as: UInt64.self)
  }
}

/// How the shell (mbufs on an lcore, plain memory in the simulator) gets from a packet to its bytes.
public protocol PacketStorage {
  /// The original frame, behind the stamp.
  static func view(of packet: Packet) -> PacketView
  /// A hint that the cache line at `address` will be wanted soon.
  static func prefetch(_ address: UnsafeRawPointer)
  /// As `prefetch`; it will be written, and may lie in another core's cache.
  static func prefetchForWriting(_ address: UnsafeRawPointer)
  /// Copies the whole original frame, `view(of:).length` bytes, out of however many buffers it lies in.
  static func copyFrame(of packet: Packet, to bytes: UnsafeMutableRawPointer)
}

extension PacketStorage {
  @inlinable @inline(__always)
  public static func prefetchForWriting(_ address: UnsafeRawPointer) { prefetch(address) }

  /// A frame that lies in one piece.
  public static func copyFrame(of packet: Packet, to bytes: UnsafeMutableRawPointer) {
    let view = view(of: packet)
    precondition(view.contiguous == view.length, "a frame in several buffers needs a copy of its own")
    if view.length > 0 { bytes.copyMemory(from: view.frame, byteCount: view.length) }
  }
}

/// Makes a packet of a stamp and a copy of an original frame, with so many references: the shell's, which has the pool.
/// nil: it has no buffer for it now.
public typealias PacketMaker = (
  _ metadata: PacketMetadata, _ frame: UnsafeRawBufferPointer, _ references: Int
) -> Packet?

/// Zeroed, cache-line-aligned memory for a table, obtained at set-up and kept for the process's life.
public typealias TableMemory = (_ byteCount: Int) -> UnsafeMutableRawPointer
