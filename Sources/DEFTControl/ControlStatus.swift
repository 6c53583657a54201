import DEFTWire

/// What a control thread has done so far, as one thread sees it at one moment. The figures are read one after the other
/// while the control thread goes on, so they need not add up to the last message.
public struct ControlStatus: Sendable {
  public struct Traffic: Sendable, Equatable {
    public var messages: UInt64 = 0
    /// Whole messages, without TCP's overhead.
    public var bytes: UInt64 = 0
    public init(messages: UInt64 = 0, bytes: UInt64 = 0) {
      self.messages = messages
      self.bytes = bytes
    }
  }

  public enum Role: Sendable, Equatable { case primary, secondary }

  public enum Link: Sendable, Equatable {
    /// A secondary that waits to be dialed, or a primary between two attempts.
    case down
    case connecting
    /// The peer's node does not take part, for this reason; it is asked again from time to time.
    case refused(ControlMessageHeader.Refusal)
    case open
  }

  public struct Pair: Sendable, Equatable {
    public var number: UInt16
    public var role: Role
    public var link: Link = .down
    /// Handshakes that succeeded.
    public var opened: UInt64 = 0
    /// Open connections that ended otherwise than by `stop()` or `remove(pair:)`.
    public var lost: UInt64 = 0
  }

  /// In the order of their numbers; a node that hosts both roles of one number has two.
  public var pairs: [Pair]
  /// Handshakes that succeeded, of both roles.
  public var connectionsOpened: UInt64
  public var connectionsLost: UInt64
  /// Refusals that peers gave to this node's primaries.
  public var refusalsReceived: UInt64
  /// Refusals that this node gave.
  public var refusalsSent: UInt64
  /// Attempts that ended before a connection was there.
  public var failedDials: UInt64
  /// Every kind is a key.
  public var received: [ControlMessageHeader.Kind: Traffic]
  /// Copied out of a ring to a connection, or handshake messages. Every kind is a key. Votes count even if there was no
  /// connection to send them on.
  public var sent: [ControlMessageHeader.Kind: Traffic]
  /// Every reason is a key.
  public var badMessages: [BadMessage: UInt64]
  /// Times that reading from a peer stopped because the lcore's inbox was full.
  public var inboxFullWaits: UInt64
  /// Times that sending to a peer stopped because the peer did not read.
  public var writabilityWaits: UInt64
  /// Times that an lcore's doorbell woke the control thread.
  public var wakeUps: UInt64

  init(_ counters: ControlCounters, pairs: [Pair]) {
    self.pairs = pairs
    connectionsOpened = counters.value(of: .connectionsOpened)
    connectionsLost = counters.value(of: .connectionsLost)
    refusalsReceived = counters.value(of: .refusalsReceived)
    refusalsSent = counters.value(of: .refusalsSent)
    failedDials = counters.value(of: .failedDials)
    inboxFullWaits = counters.value(of: .inboxFullWaits)
    writabilityWaits = counters.value(of: .writabilityWaits)
    wakeUps = counters.value(of: .wakeUps)
    let kinds = ControlMessageHeader.Kind.allCases
    received = Dictionary(uniqueKeysWithValues: kinds.map { ($0, counters.received($0)) })
    sent = Dictionary(uniqueKeysWithValues: kinds.map { ($0, counters.sent($0)) })
    badMessages = Dictionary(uniqueKeysWithValues: BadMessage.allCases.map { ($0, counters.value(of: $0)) })
  }

  /// Bad messages of all reasons.
  public var badMessageCount: UInt64 { badMessages.values.reduce(0, +) }
}
