import DEFTWire

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Readable memory with a page behind it that ends the process when touched: a frame that lies at its very end proves
/// that nobody reads further.
final class GuardedPage {
  static let capacity = 16_384
  private let base: UnsafeMutableRawPointer
  private let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

  init() {
    let bytes = GuardedPage.capacity + pageBytes
    base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0)
    precondition(base != MAP_FAILED && mprotect(base + GuardedPage.capacity, pageBytes, PROT_NONE) == 0)
  }
  deinit { munmap(base, GuardedPage.capacity + pageBytes) }

  /// The address at which `bytes` end with the readable memory.
  func place(_ bytes: ArraySlice<UInt8>) -> UnsafeRawPointer {
    let start = base + (GuardedPage.capacity - bytes.count)
    bytes.withUnsafeBytes { start.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(start), byteCount: $0.count) }
    return UnsafeRawPointer(start)
  }
}

/// What the parser says of one frame.
struct Parsed: Equatable, CustomStringConvertible {
  var key = FlowKey()
  var layout = FrameLayout.opaque

  var kind: FlowKey.Kind? { FlowKey.Kind(rawValue: UInt8(truncatingIfNeeded: key.e >> 40)) }
  var ipProtocol: UInt8 { UInt8(truncatingIfNeeded: key.e >> 32) }
  var ports: [UInt16] {
    let said = [UInt16(truncatingIfNeeded: key.e), UInt16(truncatingIfNeeded: key.e >> 16)]
    // Those of IPv4 are in the key as they stand in the frame.
    return kind == .ipv4 ? said.map(\.byteSwapped) : said
  }
  var description: String { "\(key) layout \(String(layout.rawValue, radix: 16))" }

  /// Both ways through the parser; they must agree, and neither may depend on what `key` was before.
  init?(_ bytes: UnsafeRawPointer, count: Int) {
    var general = self
    general.key = FlowKey(a: 1, b: 2, c: 3, d: 4, lower: 5, upper: 6, ipProtocol: 7, kind: .other)
    layout = FrameParser.parse(bytes, count: count, key: &key)
    general.layout = FrameParser.parseAny(bytes, count: count, key: &general.key)
    guard self == general else { return nil }
  }
  init?(_ frame: [UInt8]) {
    guard
      let parsed = frame.withUnsafeBytes({ bytes in
        bytes.baseAddress.map { Parsed($0, count: bytes.count) } ?? Parsed(UnsafeRawPointer(bitPattern: 8)!, count: 0)
      })
    else { return nil }
    self = parsed
  }
}
