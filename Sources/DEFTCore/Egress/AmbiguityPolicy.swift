/// What becomes of the packets that were sent to an egress that failed, and that it has not acknowledged (R12): each may
/// have left or not, and nobody can tell. Either way they are counted as ambiguous.
@frozen
public enum AmbiguityPolicy: UInt8, Sendable {
  /// They are sent to the new egress: some may leave twice.
  case resend
  /// The new egress takes them for let out: some may be lost.
  case discard
}
