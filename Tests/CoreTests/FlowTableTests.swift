import DEFTWire
import Testing

@testable import DEFTCore

@Suite struct FlowTableTests {
  private static let seed: UInt64 = 99
  private let arena = TableArena()

  private func table(slots: Int) -> FlowTable {
    FlowTable(
      unit: 0, layout: FlowIDLayout(units: 1, slotsPerUnit: slots), seed: Self.seed, memory: arena.allocate)
  }
  private func key(_ number: Int) -> FlowKey {
    FlowKey(a: UInt64(number), b: 0, c: 0, d: 0, lower: 1, upper: 2, ipProtocol: 6, kind: .ipv4)
  }
  private func find(_ table: inout FlowTable, _ number: Int) -> UnsafeMutablePointer<FlowTable.Record>? {
    var key = key(number)
    return table.find(&key, hash: key.hash(seed: Self.seed))
  }
  private func remove(_ table: inout FlowTable, _ flowID: UInt32) {
    table.slots.beginClose(flowID)
    table.remove(table.slots.layout.slot(flowID))
  }
  /// No freed position in front of a vacant one: probe chains end where they can.
  private func chainsAreClean(_ table: borrowing FlowTable) -> Bool {
    (0..<table.positionCount).allSatisfy {
      table.index[$0] != FlowTable.freed || table.index[($0 + 1) % table.positionCount] != FlowTable.vacant
    }
  }

  @Test func threeQuartersOfThePositionsHoldFlows() throws {
    var table = table(slots: 64)
    var flows: [UInt32] = []
    for number in 0..<48 {
      let record = try #require(find(&table, number))
      #expect(record.pointee.nextCounter == Stamp.firstCounter && record.pointee.key == key(number))
      record.pointee.nextCounter = UInt32(1000 + number)
      flows.append(record.pointee.flowID)
    }
    #expect(Set(flows).count == 48)
    let (none, occupied) = (find(&table, 48), table.slots.occupied)
    #expect(none == nil && occupied == 48)
    #expect(table.refused == 1)
    for number in 0..<48 { #expect(find(&table, number)?.pointee.nextCounter == UInt32(1000 + number)) }
    // A closed flow's slot stays taken until the close is committed.
    remove(&table, flows[5])
    let before = find(&table, 48)
    _ = table.slots.free(flows[5])
    let after = find(&table, 48)?.pointee.flowID
    #expect(before == nil && after == table.slots.layout.following(flows[5]))
  }

  /// More flows in one place of the table than are looked at.
  @Test func probeLimit() {
    var table = table(slots: 4096)
    var colliding: [Int] = []
    var number = 0
    while colliding.count < 130 {
      if key(number).hash(seed: Self.seed) & 4095 == 7 { colliding.append(number) }
      number += 1
    }
    for number in colliding[..<128] { #expect(find(&table, number) != nil) }
    let (one, two) = (find(&table, colliding[128]), find(&table, colliding[129]))
    #expect(one == nil && two == nil && table.refused == 2)
    let first = find(&table, colliding[0])!.pointee.flowID
    remove(&table, first)
    let (again, known) = (find(&table, colliding[129]), find(&table, colliding[127]))
    #expect(again != nil && known != nil)
  }

  @Test(arguments: [64, 1024]) func agreesWithADictionary(slots: Int) {
    var table = table(slots: slots)
    var random = SeededGenerator(seed: UInt64(slots))
    var model: [Int: (flowID: UInt32, next: UInt32)] = [:]
    var closing: [UInt32] = []
    let capacity = slots / 4 * 3
    for operation in 0..<100_000 {
      let number = random.below(slots)
      switch random.below(10) {
      case 0..<6:
        let record = find(&table, number)
        if let known = model[number] {
          guard let record, record.pointee.flowID == known.flowID, record.pointee.nextCounter == known.next else {
            Issue.record("operation \(operation): flow \(number) is lost")
            return
          }
        } else if let record {
          #expect(record.pointee.nextCounter == 1)
        } else {
          #expect(model.count + closing.count == capacity || slots > FlowTable.maximumProbes, "operation \(operation)")
          continue
        }
        record!.pointee.nextCounter += 1
        model[number] = (record!.pointee.flowID, record!.pointee.nextCounter)
      case 6..<9:
        // In waves, so that the table is now full, now nearly empty.
        guard operation / 10_000 % 2 == 1 || random.oneIn(3), let known = model.removeValue(forKey: number) else { break }
        remove(&table, known.flowID)
        closing.append(known.flowID)
      default:
        guard !closing.isEmpty else { break }
        let freed = table.slots.free(closing.remove(at: random.below(closing.count)))
        #expect(freed)
      }
      let occupied = table.slots.occupied
      guard occupied == model.count + closing.count, operation % 100 != 0 || chainsAreClean(table) else {
        Issue.record("operation \(operation): \(occupied) slots, \(model.count) + \(closing.count) flows, or a dead end")
        return
      }
    }
    for (_, known) in model { remove(&table, known.flowID) }
    // Tombstones are gone with the flows, unless there was no vacant position left to start from.
    let left = (0..<slots).filter { table.index[$0] != FlowTable.vacant }.count
    #expect(left == 0 || left == slots)
  }
}
