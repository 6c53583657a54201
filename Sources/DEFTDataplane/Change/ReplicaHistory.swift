import DEFTCore

/// Every primary and secondary that a pair has had, the present one last. Written by the thread that makes the stages, read
/// by reports on other threads: an entry is complete before the count says so.
final class ReplicaHistory<Function: NetworkFunction>: @unchecked Sendable {
  typealias Primary = UnsafeMutablePointer<PrimaryStage<Function>>
  typealias Secondary = UnsafeMutablePointer<SecondaryStage<Function.State>>

  private let primaries: [StageList<Primary>]
  private let secondaries: [StageList<Secondary>]

  /// - Parameter perPair: primaries, and secondaries, that a pair may have.
  init(pairs: Int, perPair: Int) {
    primaries = (0..<pairs).map { _ in StageList(capacity: perPair) }
    secondaries = (0..<pairs).map { _ in StageList(capacity: perPair) }
  }

  func add(primary: Primary, pair: Int) { primaries[pair].append(primary) }
  func add(secondary: Secondary, pair: Int) { secondaries[pair].append(secondary) }
  func primaries(ofPair pair: Int) -> [Primary] { primaries[pair].all }
  func secondaries(ofPair pair: Int) -> [Secondary] { secondaries[pair].all }
}
