import DEFTCore
import DEFTMailbox

// What planned migrations need: ways for packets that former owners send on, and for states that move.
extension Pipeline {
  /// Of every replica that there is at the start.
  func prepareMigrations(_ map: ClusterMap) {
    guard !configuration.migrations.isEmpty else { return }
    for pair in seats.indices {
      for host in seats[pair].indices {
        seats[pair][host].pointee.primary?.pointee.routes = makeRoutes(pair: pair, host: host, map)
        seats[pair][host].pointee.secondary?.pointee.routes = makeRoutes(pair: pair, host: host, map)
      }
      for other in seats.indices where pair < other && configuration.moves(pair, other) {
        let (there, back) = makeMoveRings()
        seats[pair][0].pointee.primary?.pointee.setLink(MoveLink(peer: other, outgoing: there, incoming: back))
        seats[other][0].pointee.primary?.pointee.setLink(MoveLink(peer: pair, outgoing: back, incoming: there))
      }
    }
  }

  /// Rings between two primaries, one for each direction.
  func makeMoveRings() -> (MessageRing, MessageRing) {
    var capacity = 1 << 16
    let longest = configuration.replication.longestMove(stateSize: MemoryLayout<Function.State>.size)
    while capacity < 8 * longest { capacity *= 2 }
    return (MessageRing(capacity: capacity), MessageRing(capacity: 1 << 16))
  }

  /// For a replica of `pair` on `host`; nil without planned migrations.
  func makeRoutes(pair: Int, host: Int, _ map: ClusterMap) -> UnsafeMutablePointer<ForwardRoutes>? {
    guard !configuration.migrations.isEmpty else { return nil }
    let routes = UnsafeMutablePointer<ForwardRoutes>.allocate(capacity: 1)
    routes.initialize(to: ForwardRoutes(layout: layout, pairCount: configuration.pairs, isShared: isShared))
    setRoutes(routes, pair: pair, host: host, map)
    return routes
  }

  /// As the map and the hosts' roles are now.
  func setRoutes(_ routes: UnsafeMutablePointer<ForwardRoutes>?, pair: Int, host: Int, _ map: ClusterMap) {
    guard let routes else { return }
    for group in 0..<map.groupCount { routes.pointee.owners[group] = UInt16(map.group(group).pair) }
    for target in present.indices where configuration.forwards(from: pair, to: target) {
      let way = 2 * pair + host % 2
      routes.pointee.toPrimaries[target] = rings.hosts[target][present[target].primary].forwardedOriginals[way]
      routes.pointee.toSecondaries[target] = rings.hosts[target][present[target].secondary].forwardedCopies[way]
    }
  }
}
