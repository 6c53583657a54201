import Glibc

/// Appends frames to a pcap file with ns timestamps, through a buffer of its own. Written in little-endian order on every
/// machine, where libpcap would use the machine's: the same options must give the same bytes.
struct CaptureWriter: ~Copyable {
  static let capacity = 1 << 20
  /// Longer than any frame here.
  private static let snapLength: UInt32 = 65_535
  private static let ethernet: UInt32 = 1

  private let path: String
  private var descriptor: Int32
  private let buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
  private var used = 0
  /// Bytes written so far, headers and what is still in the buffer included.
  private(set) var fileBytes: UInt64 = 0

  /// Creates the file, or empties it.
  init(_ path: String) throws(CaptureError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .writeFailed(path: path, reason: systemReason(errno)) }
    put(0xa1b2_3c4d as UInt32)  // pcap, ns
    put(2 as UInt16)
    put(4 as UInt16)
    put(0 as UInt64)  // time zone, accuracy
    put(Self.snapLength)
    put(Self.ethernet)
  }

  deinit {
    buffer.deallocate()
    if descriptor >= 0 { close(descriptor) }
  }

  /// - Parameter time: ns since 1970-01-01 UTC.
  mutating func append(_ frame: UnsafeRawPointer, count: Int, time: UInt64) throws(CaptureError) {
    precondition(count <= Int(Self.snapLength))
    if used + 16 + count > Self.capacity { try flush() }
    put(UInt32(time / 1_000_000_000))
    put(UInt32(time % 1_000_000_000))
    put(UInt32(count))
    put(UInt32(count))
    (buffer + used).copyMemory(from: frame, byteCount: count)
    used += count
    fileBytes += UInt64(count)
  }

  /// Writes the rest and closes the file; some file systems report a full disk only now.
  mutating func finish() throws(CaptureError) {
    try flush()
    let closing = descriptor
    descriptor = -1
    if close(closing) != 0 { throw .writeFailed(path: path, reason: systemReason(errno)) }
  }

  private mutating func flush() throws(CaptureError) {
    var written = 0
    while written < used {
      let count = write(descriptor, buffer + written, used - written)
      if count < 0 {
        if errno == EINTR { continue }
        throw .writeFailed(path: path, reason: systemReason(errno))
      }
      written += count
    }
    used = 0
  }

  private mutating func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    buffer.storeBytes(of: value.littleEndian, toByteOffset: used, as: T.self)
    used += MemoryLayout<T>.size
    fileBytes += UInt64(MemoryLayout<T>.size)
  }
}
