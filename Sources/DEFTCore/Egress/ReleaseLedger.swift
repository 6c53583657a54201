import DEFTWire

/// What egress owes an acknowledgement for: one released packet of one pair. It stays with a packet that egress holds.
@frozen
public struct ReleaseTag: BitwiseCopyable, Sendable, Equatable {
  /// The epoch in which the releasing replica became primary.
  public var stream: UInt32
  /// Release sequence (C4 on a wire): 0 for the first packet of a stream, then consecutive, serial.
  public var sequence: UInt32
  public var pair: UInt32
  @inlinable @inline(__always)
  public init(pair: Int, stream: UInt32, sequence: UInt32) {
    self.pair = UInt32(truncatingIfNeeded: pair)
    self.stream = stream
    self.sequence = sequence
  }
}

/// What egress has dealt with (transmitted, suppressed or forgotten) of one pair's releases, and hence acknowledges,
/// cumulatively (R2). What it holds or refused is not in here; it keeps nobody else's acknowledgement back.
///
/// A stream is what one replica releases from the moment it became primary; its epoch then names it. A later stream
/// begins with nothing; of an earlier one (a dead primary's last packets) nothing is acknowledged any more.
///
/// Capacity: `capacity` releases behind the first that is missing. Beyond: not remembered, counted; it comes again.
@frozen
public struct ReleaseLedger: ~Copyable {
  public private(set) var stream: UInt32 = 0
  /// Everything before this sequence has been dealt with.
  @usableFromInline var dealtWith: UInt64 = 0
  /// Bit `sequence & mask`: dealt with, though something before it was not.
  @usableFromInline let bits: UnsafeMutablePointer<UInt64>
  @usableFromInline let mask: UInt64
  @usableFromInline var marked = 0
  public private(set) var beyondWindow: UInt64 = 0
  public private(set) var earlierStream: UInt64 = 0

  /// - Parameter capacity: a power of two, at least 64.
  public init(capacity: Int, memory: TableMemory) {
    precondition(capacity >= 64 && capacity & (capacity - 1) == 0)
    bits = memory(capacity / 8).bindMemory(to: UInt64.self, capacity: capacity / 64)
    mask = UInt64(capacity - 1)
  }

  /// How many packets of `stream` are acknowledged, from its first on.
  @inlinable @inline(__always)
  public var acknowledged: UInt64 { dealtWith }

  /// `count` consecutive releases from `sequence` on have been dealt with.
  @inlinable @inline(__always)
  public mutating func settle(stream: UInt32, from sequence: UInt32, count: Int) {
    if _fastPath(stream == self.stream && marked == 0 && sequence == UInt32(truncatingIfNeeded: dealtWith)) {
      dealtWith &+= UInt64(truncatingIfNeeded: count)
    } else {
      settleFurther(stream, sequence, count)
    }
  }

  @inline(never)
  @usableFromInline
  mutating func settleFurther(_ stream: UInt32, _ first: UInt32, _ count: Int) {
    if stream != self.stream {
      guard stream > self.stream else {
        earlierStream &+= UInt64(count)
        return
      }
      begin(stream)
    }
    for offset in 0..<count {
      let ahead = (first &+ UInt32(truncatingIfNeeded: offset)).serialDistance(
        from: UInt32(truncatingIfNeeded: dealtWith))
      guard ahead >= 0 else { continue }
      guard UInt64(ahead) <= mask else {
        beyondWindow &+= 1
        continue
      }
      mark(dealtWith &+ UInt64(ahead))
      advance()
    }
  }

  /// Everything of `stream` before `acknowledged` has been dealt with: by an egress that has failed (R12).
  public mutating func begin(_ stream: UInt32, acknowledged: UInt64 = 0) {
    self.stream = stream
    dealtWith = acknowledged
    marked = 0
    for word in 0...Int(mask / 64) { bits[word] = 0 }
  }
  private mutating func mark(_ sequence: UInt64) {
    let (word, bit) = (Int(sequence & mask) / 64, UInt64(1) << (sequence & 63))
    guard bits[word] & bit == 0 else { return }
    bits[word] |= bit
    marked += 1
  }
  private mutating func advance() {
    while marked > 0 {
      let (word, bit) = (Int(dealtWith & mask) / 64, UInt64(1) << (dealtWith & 63))
      guard bits[word] & bit != 0 else { return }
      bits[word] &= ~bit
      marked -= 1
      dealtWith &+= 1
    }
  }
}
