import DEFTCore

// B4: one owner per flow and epoch. In each epoch of a pair one replica, the one that the map named, sends prepares and commits
// and releases; another one that does, or does so in an epoch that never was its own, is a zombie.
extension Simulation {
  /// The map has changed.
  func noteOwner(_ pair: Int) { owners[Ownership(pair: pair, epoch: map[pair].epoch)] = map[pair].primary }

  /// The replica does something that only its pair's owner may do.
  func checkOwner(_ actor: PrimaryActor) {
    require(!actor.replica.isSteppedDown, .owner) { "\(actor.name) acts, although it has stepped down" }
    let place = Ownership(pair: actor.pair, epoch: actor.epoch)
    guard checkedOwner?.place != place || checkedOwner?.actor != actor.index else { return }
    require(owners[place] == actor.node.id, .owner) {
      "\(actor.name) acts in epoch \(actor.epoch), which is \(owners[place].map { "\($0)'s" } ?? "nobody's")"
    }
    let known = actingOwners.updateValue(actor.index, forKey: place)
    require(known == nil || known == actor.index, .owner) {
      "\(actor.name) acts in epoch \(actor.epoch), in which another replica has acted"
    }
    checkedOwner = (place, actor.index)
  }
}

struct Ownership: Hashable {
  let pair: Int
  let epoch: UInt32
}
