/// Why a message of a peer was not taken. Each has a counter in `ControlStatus`; the connection is closed, and a primary's
/// node dials again.
public enum BadMessage: Int, Error, Sendable, CaseIterable {
  /// The lengths in the header do not agree with each other, or are beyond `ControlMessageHeader.maximumLength`.
  case length
  /// Another version of the format.
  case version
  /// No such kind of message.
  case unknownKind
  /// The kind exists, but not in this direction or not now.
  case unexpectedKind
  /// The connection belongs to another pair.
  case pair
  /// Longer than the inbox ring can ever take.
  case tooLong
  /// A commit whose entries are not of the agreed size.
  case stateSize
}
