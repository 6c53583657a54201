/// A node of the cluster: what fails as a whole. Placement never puts both replicas of a group on one (DESIGN 5).
@frozen
public struct NodeID: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
  public var rawValue: UInt16
  @inlinable
  public init(_ rawValue: UInt16) { self.rawValue = rawValue }
  public var description: String { "n\(rawValue)" }
}
