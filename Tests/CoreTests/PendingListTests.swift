import DEFTWire
import Testing

@testable import DEFTCore

@Suite struct PendingListTests {
  private let arena = TableArena()
  /// Any address does: the list never looks at a packet.
  private func packet(_ number: Int) -> Packet { Packet(bitPattern: 8 * (number + 1))! }
  private func list(_ capacity: Int, perFlow: Int) -> PendingList {
    PendingList(capacity: capacity, perFlowLimit: perFlow, memory: arena.allocate)
  }

  @Test func sortsAndRefusesDuplicates() {
    var list = list(8, perFlow: 8)
    var head: UInt32 = 0
    for counter: UInt32 in [5, 3, 9, 4, 3, 9, 5] {
      let before = list.count
      let result = list.insert(packet(Int(counter)), counter: counter, head: &head)
      #expect(result == (list.count == before ? .duplicate : .inserted))
    }
    #expect(list.count == 4)
    var order: [UInt32] = []
    while head != 0 {
      order.append(list.firstCounter(head))
      #expect(list.first(head) == packet(Int(order.last!)))
      let first = list.removeFirst(&head)
      #expect(first == packet(Int(order.last!)))
    }
    #expect(order == [3, 4, 5, 9] && list.count == 0 && list.highWater == 4)
  }

  @Test func ordersAcrossTheWrap() {
    var list = list(8, perFlow: 8)
    var head: UInt32 = 0
    for counter: UInt32 in [1, 0xffff_ffff, 0, 0xffff_fff0] { _ = list.insert(packet(0), counter: counter, head: &head) }
    var order: [UInt32] = []
    while head != 0 {
      order.append(list.firstCounter(head))
      _ = list.removeFirst(&head)
    }
    #expect(order == [0xffff_fff0, 0xffff_ffff, 0, 1])
  }

  /// The limit of a flow holds wherever in its list the packet belongs.
  @Test(arguments: [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2]] as [[UInt32]])
  func limitPerFlow(_ counters: [UInt32]) {
    var list = list(16, perFlow: 3)
    var head: UInt32 = 0
    var results: [PendingList.Insertion] = []
    for counter in counters { results.append(list.insert(packet(0), counter: counter, head: &head)) }
    #expect(results == [.inserted, .inserted, .inserted, .full, .full])
    let duplicate = list.insert(packet(0), counter: counters[2], head: &head)
    #expect(duplicate == .duplicate, "a full list still knows what it has")
    var other: UInt32 = 0
    let result = list.insert(packet(0), counter: 1, head: &other)
    #expect(result == .inserted, "another flow has its own")
  }

  @Test func agreesWithAModel() {
    var random = SeededGenerator(seed: 3)
    var list = list(40, perFlow: 12)
    var heads = [UInt32](repeating: 0, count: 6)
    var model = [[UInt32: Packet]](repeating: [:], count: 6)
    for operation in 0..<100_000 {
      let flow = random.below(6)
      let total = model.reduce(0) { $0 + $1.count }
      if operation / 500 % 2 == 0 ? random.below(4) != 0 : random.below(4) == 0 {
        let counter = 0xffff_fff0 &+ UInt32(random.below(30))
        let packet = packet(random.below(1 << 20))
        let expected: PendingList.Insertion =
          model[flow][counter] != nil ? .duplicate : total == 40 || model[flow].count == 12 ? .full : .inserted
        let result = list.insert(packet, counter: counter, head: &heads[flow])
        guard result == expected else {
          Issue.record("operation \(operation): \(result), not \(expected)")
          return
        }
        if result == .inserted { model[flow][counter] = packet }
      } else if heads[flow] != 0 {
        let first = model[flow].keys.min { $0.isSeriallyBefore($1) }
        let counter = list.firstCounter(heads[flow])
        let packet = list.removeFirst(&heads[flow])
        guard counter == first, model[flow].removeValue(forKey: counter) == packet else {
          Issue.record("operation \(operation): \(counter) comes first, not \(first as Any)")
          return
        }
      } else if !model[flow].isEmpty {
        Issue.record("operation \(operation): the list of flow \(flow) is lost")
        return
      }
    }
    #expect(list.count == model.reduce(0) { $0 + $1.count } && list.highWater == 40)
  }
}
