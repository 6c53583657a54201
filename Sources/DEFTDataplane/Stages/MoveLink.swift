import DEFTMailbox

/// One primary's end of the way that states of moving groups take to and from another pair's primary (R11). The rings keep
/// nothing: the protocol sends again what is lost with a replica.
@usableFromInline
struct MoveLink: ~Copyable {
  /// The other pair.
  let peer: Int
  var outgoing: MessageProducer
  var incoming: MessageConsumer

  init(peer: Int, outgoing: MessageRing, incoming: MessageRing) {
    self.peer = peer
    self.outgoing = MessageProducer(outgoing, retaining: false)
    self.incoming = MessageConsumer(incoming)
  }
}
