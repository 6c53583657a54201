/// The inside networks in raw memory: no array and no reference counting where packets are judged. Searched from the
/// first to the last entry: meant for the handful of networks that a site has.
///
/// The memory is allocated once, never written afterwards and never freed: an NF lives as long as its process.
@frozen
@usableFromInline
struct InsideTable: BitwiseCopyable {
  @frozen
  @usableFromInline
  struct Entry4: BitwiseCopyable {
    @usableFromInline let network: UInt32
    @usableFromInline let mask: UInt32
    init(network: UInt32, mask: UInt32) { (self.network, self.mask) = (network, mask) }
  }

  @frozen
  @usableFromInline
  struct Entry6: BitwiseCopyable {
    @usableFromInline let high: UInt64
    @usableFromInline let low: UInt64
    @usableFromInline let highMask: UInt64
    @usableFromInline let lowMask: UInt64
    init(high: UInt64, low: UInt64, highMask: UInt64, lowMask: UInt64) {
      (self.high, self.low, self.highMask, self.lowMask) = (high, low, highMask, lowMask)
    }
  }

  @usableFromInline let entries4: UnsafePointer<Entry4>
  @usableFromInline let count4: Int
  @usableFromInline let entries6: UnsafePointer<Entry6>
  @usableFromInline let count6: Int

  init(_ networks: [CIDR]) {
    var list4: [Entry4] = []
    var list6: [Entry6] = []
    for cidr in networks {
      switch cidr.network {
      case .ipv4(let address):
        list4.append(Entry4(network: address, mask: CIDR.mask32(cidr.prefixLength)))
      case .ipv6(let high, let low):
        let length = cidr.prefixLength
        list6.append(Entry6(high: high, low: low, highMask: CIDR.mask64(length), lowMask: CIDR.mask64(length - 64)))
      }
    }
    (entries4, count4) = InsideTable.copy(list4)
    (entries6, count6) = InsideTable.copy(list6)
  }

  private static func copy<Entry: BitwiseCopyable>(_ list: [Entry]) -> (UnsafePointer<Entry>, Int) {
    let memory = UnsafeMutableBufferPointer<Entry>.allocate(capacity: max(list.count, 1))
    _ = memory.initialize(from: list)
    return (UnsafePointer(memory.baseAddress!), list.count)
  }

  @inlinable @inline(__always)
  func contains(ipv4 address: UInt32) -> Bool {
    var index = 0
    while index < count4 {
      if address & entries4[index].mask == entries4[index].network { return true }
      index &+= 1
    }
    return false
  }

  @inlinable @inline(__always)
  func contains(ipv6 address: (UInt64, UInt64)) -> Bool {
    var index = 0
    while index < count6 {
      let entry = entries6[index]
      if (address.0 & entry.highMask ^ entry.high) | (address.1 & entry.lowMask ^ entry.low) == 0 { return true }
      index &+= 1
    }
    return false
  }
}
