import Logging

extension PeerConnection {
  /// What a log line about this connection says of it.
  var metadata: Logger.Metadata {
    var facts: Logger.Metadata = [:]
    if let address = remoteAddress { facts["address"] = "\(address)" }
    switch phase {
    case .awaitingWelcome(let pair), .awaitingResume(let pair), .primary(let pair):
      facts["pair"] = "\(pair.endpoint.pair)"
    case .secondary(let pair): facts["pair"] = "\(pair.endpoint.pair)"
    case .awaitingHello, .closed: break
    }
    return facts
  }
}
