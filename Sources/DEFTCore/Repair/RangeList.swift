import DEFTWire

/// A bounded list of packet ranges with a quick answer to "is any of them of this flow": what the other replica has asked
/// for, so that one walk over all held packets finds them.
///
/// Capacity: fixed. Full: `add` says false; the caller counts it, and is asked again.
struct RangeList: ~Copyable {
  private let ranges: UnsafeMutablePointer<PacketRange>
  /// Packets received when the range came: the input buffer may hold what was sent before that.
  private let marks: UnsafeMutablePointer<UInt64>
  let capacity: Int
  private(set) var count = 0
  /// One bit per hash of a flow ID.
  private let filter: UnsafeMutablePointer<UInt64>
  private static let filterWords = 64

  init(capacity: Int, memory: TableMemory) {
    self.capacity = capacity
    func table<T>(_ count: Int, _ type: T.Type) -> UnsafeMutablePointer<T> {
      memory(count * MemoryLayout<T>.stride).bindMemory(to: type, capacity: count)
    }
    ranges = table(capacity, PacketRange.self)
    marks = table(capacity, UInt64.self)
    filter = table(RangeList.filterWords, UInt64.self)
  }

  private static func bit(_ flowID: UInt32) -> (word: Int, bit: UInt64) {
    let hash = (flowID &* 0x9E37_79B1) >> 20
    return (Int(hash >> 6), 1 << UInt64(hash & 63))
  }
  func mayHold(_ flowID: UInt32) -> Bool {
    let (word, bit) = RangeList.bit(flowID)
    return filter[word] & bit != 0
  }

  subscript(index: Int) -> PacketRange { ranges[index] }
  func mark(_ index: Int) -> UInt64 { marks[index] }

  mutating func setMark(_ index: Int, _ mark: UInt64) { marks[index] = mark }

  /// False: no room. A range that is there already is not added again.
  mutating func add(_ range: PacketRange, mark: UInt64 = 0) -> Bool {
    if mayHold(range.flowID) {
      for index in 0..<count where ranges[index] == range { return true }
    }
    guard count < capacity else { return false }
    ranges[count] = range
    marks[count] = mark
    count += 1
    let (word, bit) = RangeList.bit(range.flowID)
    filter[word] |= bit
    return true
  }

  /// The place of the first range that holds the packet.
  func index(_ flowID: UInt32, _ counter: UInt32) -> Int? {
    guard mayHold(flowID) else { return nil }
    for index in 0..<count where ranges[index].contains(flowID, counter) { return index }
    return nil
  }

  /// What lies before `counter` has been found: only what comes behind it is still looked for.
  mutating func advance(_ index: Int, behind counter: UInt32) {
    ranges[index] = PacketRange(flowID: ranges[index].flowID, from: counter &+ 1, end: ranges[index].end)
  }

  mutating func removeAll() { keep { _, _ in false } }

  /// Removes the ranges for which `isKept` says false; the others keep their order.
  mutating func keep(_ isKept: (PacketRange, _ mark: UInt64) -> Bool) {
    var kept = 0
    for word in 0..<RangeList.filterWords { filter[word] = 0 }
    for index in 0..<count where isKept(ranges[index], marks[index]) {
      ranges[kept] = ranges[index]
      marks[kept] = marks[index]
      kept += 1
      let (word, bit) = RangeList.bit(ranges[index].flowID)
      filter[word] |= bit
    }
    count = kept
  }
}
