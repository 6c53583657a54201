import CDPDK

/// Wall-clock time in ns since 1970 from the cycle counter: one read of the counter per burst, never a system call. Set
/// once; it never steps back, whatever happens to the system's clock.
@frozen
public struct LcoreClock: Sendable {
  @usableFromInline let baseCycles: UInt64
  @usableFromInline let baseTime: UInt64
  /// ns per cycle, 32.32 fixed point.
  @usableFromInline let scale: UInt64
  public let cyclesPerSecond: UInt64

  public init() {
    cyclesPerSecond = cd_tsc_hz()
    scale = (1_000_000_000 << 32) / cyclesPerSecond
    baseTime = cd_wall_clock_ns()
    baseCycles = cd_tsc()
  }
  @inlinable @inline(__always)
  public func time(at cycles: UInt64) -> UInt64 {
    let product = (cycles &- baseCycles).multipliedFullWidth(by: scale)
    return baseTime &+ (product.high << 32 | product.low >> 32)
  }
  @inlinable @inline(__always)
  public func now() -> UInt64 { time(at: cd_tsc()) }
}
