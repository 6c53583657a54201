/// The messages between the control threads of a pair's two nodes. Little-endian, length-prefixed, every message a
/// multiple of 8 bytes so that fields stay aligned in the mailbox rings. Every one carries the epoch (B4).
///
/// ```
///  0  length of the whole message, bytes (32)
///  4  type (8) | version (8) | pair (16)
///  8  epoch (32)            12  count: entries that follow (32)
/// 16  batch (64)
/// 24  detail (32): Prepare: declared-lost ranges; Commit, Base: bytes of one entry; Hello: node; Refuse: reason
/// 28  flags (32): bit 0, of a Prepare: the primary has little else in flight and waits for this vote;
///                 of a Synced: the snapshot is whole; of a Move: the group's last entries; of a Moved: both
///                 replicas have them all; bit 1, of a Moved: what was sent behind its end did not arrive
/// 32  entries
/// ```
@frozen
public struct ControlMessageHeader: Equatable, Sendable, BitwiseCopyable {
  public enum Kind: UInt8, Sendable, CaseIterable {
    /// First message of a connection, from the primary's node: who speaks, and the layout of its states.
    case hello = 1
    /// The answer: the connection is open.
    case welcome
    /// The answer: it is not; `detail` says why (`Refusal`).
    case refuse
    /// R13: what the secondary has voted for (`batch`) and applied (one 64-bit word), after every (re)connection.
    case resume
    /// The packet clock of a batch: `ClockEntry`s, then declared-lost `PacketRange`s (R5).
    case prepare
    /// The secondary holds all that the clocks up to `batch` cover; one 64-bit word: the last batch applied.
    case vote
    /// The state clock up to `batch`: `detail`-sized entries, each a `StateEntry` followed by the state.
    case commit
    /// R9: flows of a snapshot, entries as in a commit; `batch` numbers the messages of a snapshot from 1 on.
    case base
    /// R9: the snapshot is whole, and all that is not in it is in prepares before this one; numbered like `base`.
    case baseEnd
    /// R9, from the secondary: `batch` messages of the snapshot are applied.
    case synced
    /// Either way: the sender lacks these packets: `PacketRange`s (R10).
    case want
    /// The answer: one original, a `PacketImage` and `count` bytes of frame.
    case packet
    /// The answer: the sender does not hold these either: `PacketRange`s (R5).
    case missing
    /// R4, secondary to primary: `ClockEntry`s: copies up to there have been here for long, and no clock covers them.
    case uncovered
    /// Migration, between the primaries of two pairs: live flows of one group: a `MoveHeader`, then entries as in a commit.
    /// Pair and epoch are the receiver's.
    case move
    /// The answer: up to where the receiver has them: a `MoveHeader`. Pair and epoch are the receiver's here, too.
    case moved
    /// Migration, to the secondary, numbered like a batch and voted for like one: a `MoveHeader` and entries that came by
    /// `move`. They are inert: the group is not the pair's yet.
    case stage
    /// Migration, numbered like a batch: the group's staged entries are discarded. A `MoveHeader`.
    case unstage
  }

  public enum Refusal: UInt32, Sendable {
    case version = 1
    case networkFunction, stateSize, unknownPair, malformed
  }

  public static let byteCount = 32
  public static let currentVersion: UInt8 = 1
  /// A longer message is refused and the connection closed.
  public static let maximumLength = 8 << 20

  public var length: UInt32
  public var kind: UInt8
  public var version: UInt8
  public var pair: UInt16
  public var epoch: UInt32
  public var count: UInt32
  public var batch: UInt64
  public var detail: UInt32
  public var flags: UInt32

  /// Flag of a prepare: the primary is lightly loaded, so the secondary's lcore rings for its vote rather than let it be found.
  public static let promptVote: UInt32 = 1
  /// Flag of a synced: the snapshot is whole, and what was prepared before its end is voted for.
  public static let syncComplete: UInt32 = 1

  /// Flag of a move: the group's last entries. Of a moved: both replicas have them all.
  public static let moveComplete: UInt32 = 1
  /// Flag of a moved: nothing beyond its end is here or has been kept; to be sent (again).
  public static let moveAgain: UInt32 = 2

  @inlinable
  public init(
    kind: Kind, pair: UInt16, epoch: UInt32, batch: UInt64, count: UInt32 = 0, detail: UInt32 = 0, flags: UInt32 = 0,
    length: Int
  ) {
    self.length = UInt32(length)
    self.kind = kind.rawValue
    self.version = ControlMessageHeader.currentVersion
    self.pair = pair
    self.epoch = epoch
    self.count = count
    self.batch = batch
    self.detail = detail
    self.flags = flags
  }

  @inlinable @inline(__always)
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: length.littleEndian, toByteOffset: 0, as: UInt32.self)
    bytes.storeBytes(of: kind, toByteOffset: 4, as: UInt8.self)
    bytes.storeBytes(of: version, toByteOffset: 5, as: UInt8.self)
    bytes.storeBytes(of: pair.littleEndian, toByteOffset: 6, as: UInt16.self)
    bytes.storeBytes(of: epoch.littleEndian, toByteOffset: 8, as: UInt32.self)
    bytes.storeBytes(of: count.littleEndian, toByteOffset: 12, as: UInt32.self)
    bytes.storeBytes(of: batch.littleEndian, toByteOffset: 16, as: UInt64.self)
    bytes.storeBytes(of: detail.littleEndian, toByteOffset: 24, as: UInt32.self)
    bytes.storeBytes(of: flags.littleEndian, toByteOffset: 28, as: UInt32.self)
  }

  /// Reads a header without judging it. `bytes` has `byteCount` readable bytes.
  @inlinable @inline(__always)
  public init(reading bytes: UnsafeRawPointer) {
    length = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    kind = bytes.byte(4)
    version = bytes.byte(5)
    pair = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    epoch = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    count = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    batch = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    detail = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    flags = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 28, as: UInt32.self))
  }

  /// nil if the lengths agree with each other: the single length check that makes all later reads total.
  @inlinable
  public func defect() -> Defect? {
    guard length >= ControlMessageHeader.byteCount, length % 8 == 0 else { return .length }
    guard length <= ControlMessageHeader.maximumLength else { return .length }
    guard version == ControlMessageHeader.currentVersion else { return .version }
    let body = UInt64(length) - UInt64(ControlMessageHeader.byteCount)
    switch Kind(rawValue: kind) {
    case nil: return .kind
    case .hello: return body >= 8 && UInt64(count) <= body - 8 ? nil : .length
    case .welcome, .refuse, .synced: return body == 0 ? nil : .length
    case .resume, .vote: return body == 8 ? nil : .length
    case .prepare:
      let clock = UInt64(count) * UInt64(ClockEntry.byteCount)
      return body == clock + UInt64(detail) * UInt64(PacketRange.byteCount) ? nil : .length
    case .commit, .base, .baseEnd:
      guard detail >= StateEntry.byteCount, detail % 8 == 0 else { return .length }
      return body == UInt64(count) * UInt64(detail) ? nil : .length
    case .want, .missing: return body == UInt64(count) * UInt64(PacketRange.byteCount) ? nil : .length
    case .uncovered: return body == UInt64(count) * UInt64(ClockEntry.byteCount) ? nil : .length
    case .move, .stage:
      guard detail >= StateEntry.byteCount, detail % 8 == 0 else { return .length }
      return body == UInt64(MoveHeader.byteCount) + UInt64(count) * UInt64(detail) ? nil : .length
    case .moved, .unstage: return body == UInt64(MoveHeader.byteCount) ? nil : .length
    case .packet: return body == UInt64(PacketImage.byteCount) + (UInt64(count) + 7) / 8 * 8 ? nil : .length
    }
  }

  /// What is wrong with a message.
  public enum Defect: Sendable {
    case length, version, kind
  }
}

/// One flow in a packet clock: `nextExpectedPktID` after the batch. 8 bytes.
@frozen
public struct ClockEntry: Equatable, Sendable, BitwiseCopyable {
  public var flowID: UInt32
  public var next: UInt32
  public static let byteCount = 8
  @inlinable @inline(__always)
  public init(flowID: UInt32, next: UInt32) {
    self.flowID = flowID
    self.next = next
  }
  @inlinable @inline(__always)
  public init(reading bytes: UnsafeRawPointer) {
    flowID = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    next = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
  }
  /// None of `count` entries names flow 0, which there is not.
  @inlinable
  public static func areFlows(_ bytes: UnsafeRawPointer, count: Int) -> Bool {
    var zeros = 0
    for i in 0..<count { zeros &+= ClockEntry(reading: bytes + i &* byteCount).flowID == 0 ? 1 : 0 }
    return zeros == 0
  }
  @inlinable @inline(__always)
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: flowID.littleEndian, toByteOffset: 0, as: UInt32.self)
    bytes.storeBytes(of: next.littleEndian, toByteOffset: 4, as: UInt32.self)
  }
}

/// One flow in a state clock; the NF's state follows, padded to a multiple of 8 bytes. 24 bytes.
@frozen
public struct StateEntry: Equatable, Sendable, BitwiseCopyable {
  public var flowID: UInt32
  /// `nextExpectedPktID` that the state belongs to.
  public var next: UInt32
  /// Counter of the last packet that the NF passed (R1); 0: none yet.
  public var lastPassed: UInt32
  /// 1: the close marker has been processed, the flow's generation has ended (R16).
  public var isClosed: UInt32
  /// The flow's time (R19), ns since 1970.
  public var time: UInt64
  public static let byteCount = 24
  @inlinable @inline(__always)
  public init(flowID: UInt32, next: UInt32, lastPassed: UInt32, isClosed: Bool, time: UInt64) {
    self.flowID = flowID
    self.next = next
    self.lastPassed = lastPassed
    self.isClosed = isClosed ? 1 : 0
    self.time = time
  }
  @inlinable @inline(__always)
  public init(reading bytes: UnsafeRawPointer) {
    flowID = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    next = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    lastPassed = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    isClosed = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    time = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
  }
  @inlinable @inline(__always)
  public func write(to bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: flowID.littleEndian, toByteOffset: 0, as: UInt32.self)
    bytes.storeBytes(of: next.littleEndian, toByteOffset: 4, as: UInt32.self)
    bytes.storeBytes(of: lastPassed.littleEndian, toByteOffset: 8, as: UInt32.self)
    bytes.storeBytes(of: isClosed.littleEndian, toByteOffset: 12, as: UInt32.self)
    bytes.storeBytes(of: time.littleEndian, toByteOffset: 16, as: UInt64.self)
  }
}
