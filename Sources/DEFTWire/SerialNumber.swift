/// Serial-number arithmetic (RFC 1982) on 32-bit packet counters. Two counters of one flow are never 2³¹ or more apart (R18).
extension UInt32 {
  /// How far `self` is ahead of `other`; negative if behind.
  @inlinable @inline(__always)
  public func serialDistance(from other: UInt32) -> Int32 { Int32(bitPattern: self &- other) }
  @inlinable @inline(__always)
  public func isSeriallyBefore(_ other: UInt32) -> Bool { serialDistance(from: other) < 0 }
  @inlinable @inline(__always)
  public func isSeriallyAtLeast(_ other: UInt32) -> Bool { serialDistance(from: other) >= 0 }
}
