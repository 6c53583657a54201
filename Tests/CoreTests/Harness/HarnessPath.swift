import DEFTCore

/// The way from the switch to a replica: shuffles within blocks, doubles packets, some of the doubles much later.
struct HarnessPath {
  /// Packets are shuffled within blocks of so many; 1: in order.
  let block: Int
  /// References that a packet carries.
  let references: Int
  private var incoming: [Packet] = []
  private var outgoing: [Packet] = []
  private var head = 0
  private var late: [Packet] = []

  init(block: Int, references: Int) {
    self.block = block
    self.references = references
  }

  var count: Int { incoming.count + outgoing.count - head + late.count }
  var ready: Int { outgoing.count - head }

  mutating func send(_ packet: Packet, _ random: inout SeededGenerator) {
    incoming.append(packet)
    if !late.isEmpty, random.oneIn(16) { incoming.append(late.removeLast()) }
    if incoming.count >= block { flush(&random) }
  }
  mutating func sendLate(_ packet: Packet) { late.append(packet) }

  mutating func flush(_ random: inout SeededGenerator, withLate: Bool = false) {
    if withLate {
      incoming += late
      late = []
    }
    if block > 1 { incoming.shuffle(using: &random) }
    outgoing += incoming
    incoming.removeAll(keepingCapacity: true)
  }

  /// What was refused for want of room comes again (the repair, R10).
  mutating func sendAgain(_ packet: Packet) { outgoing.append(packet) }

  /// Of a way that shuffles nothing.
  mutating func dropLast() -> Packet { outgoing.removeLast() }

  mutating func take(_ count: Int) -> [Packet] {
    let taken = Array(outgoing[head..<head + min(count, ready)])
    head += taken.count
    if head > 512 {
      outgoing.removeFirst(head)
      head = 0
    }
    return taken
  }
}
