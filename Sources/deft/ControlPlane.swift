import DEFTCore
import DEFTDataplane
import DEFTMailbox

/// The logical nodes of a process and their control threads. Pair i has its primary on node i and its secondary on the
/// next, so the two replicas of a pair are never on one node.
final class ControlPlane {
  let mailboxes: [PairMailbox]
  init(configuration: PipelineConfiguration, networkFunction: String, stateSize: Int, environment: Environment) throws {
    let bell = Doorbell()!
    mailboxes = (0..<configuration.pairs).map {
      PairMailbox(pair: $0, replication: configuration.replication, stateSize: stateSize, primaryDoorbell: bell, secondaryDoorbell: bell)
    }
  }
  var summary: ReplaySummary.Control? { nil }
  func stop() {}
}
