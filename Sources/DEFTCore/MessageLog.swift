/// Where a replica writes messages for its peer. A log keeps a message until it is trimmed, so that a reconnection can
/// send it again (R13); a full log refuses, and the replica waits (a bound, never a loss).
public protocol MessageLog: ~Copyable {
  /// Room for a message of `byteCount` bytes (a multiple of 8), or nil while the log is full. Not yet visible to the reader.
  mutating func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer?
  /// Ends the message that was reserved last. Returns the position behind it. Still not visible.
  mutating func append(_ byteCount: Int) -> UInt64
  /// Lets the reader see everything up to `position`.
  mutating func publish(through position: UInt64)
  /// The peer has what lies before `position`: its room may be used again.
  mutating func trim(through position: UInt64)
  /// R13: the connection is new: everything after the trim position has to be sent again.
  mutating func rewind()
}
