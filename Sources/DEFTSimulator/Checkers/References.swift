import DEFTCore

// Every packet is given back exactly once, and not looked at after that.
extension Simulation {
  func checkPacketMemory(atEnd: Bool) {
    require(packets.usesAfterFree == 0, .packetMemory) { "a packet is used that nobody holds" }
    guard atEnd else { return }
    require(packets.live == 0, .packetMemory) { "\(packets.live) packets are never given back" }
  }
}
