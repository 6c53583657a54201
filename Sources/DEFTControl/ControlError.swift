/// Why a `ControlNode` could not do what it was asked to.
public enum ControlError: Error, Equatable, Sendable {
  /// The process has no file descriptors left for the doorbell.
  case noDescriptors
  /// The node already hosts this role of the pair.
  case duplicatePair(UInt16)
  /// `start` was called a second time, or after `stop`.
  case alreadyStarted
  /// The node has been stopped.
  case stopped
}
