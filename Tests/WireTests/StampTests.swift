import DEFTWire
import Testing

@Suite struct StampTests {
  private func bytes(_ stamp: Stamp) -> [UInt8] {
    var room = [UInt8](repeating: 0xaa, count: Stamp.byteCount + 8)
    room.withUnsafeMutableBytes { stamp.write(to: $0.baseAddress!) }
    #expect(room[Stamp.byteCount...].allSatisfy { $0 == 0xaa }, "wrote beyond its length")
    return [UInt8](room[..<Stamp.byteCount])
  }
  private func read(_ bytes: [UInt8]) -> Stamp? { bytes.withUnsafeBytes { Stamp($0.baseAddress!, count: $0.count) } }

  private static let example = Stamp(
    servicePath: 0x0a0b0c, serviceIndex: 254, flowID: 0x1122_3344, counter: 0x5566_7788, time: 0x99aa_bbcc_ddee_ff01)

  /// RFC 8300, figures 2 to 4, by hand.
  @Test func layoutIsThatOfRFC8300() {
    let ethernet: [UInt8] = [0x02, 0xde, 0xf7, 0x00, 0x00, 0x02, 0x02, 0xde, 0xf7, 0x00, 0x00, 0x01, 0x89, 0x4f]
    // Version 0, not OAM, TTL 63, length 6 words; MD type 1; next protocol 3, Ethernet.
    let base: [UInt8] = [0x0f, 0xc6, 0x01, 0x03]
    let path: [UInt8] = [0x0a, 0x0b, 0x0c, 0xfe]
    let context: [UInt8] = [
      0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01,
    ]
    #expect(bytes(Self.example) == ethernet + base + path + context)
    var marker = Self.example
    marker.isCloseMarker = true
    #expect(bytes(marker) == ethernet + [0x0f, 0xc6, 0x01, 0x00] + path + context)
    #expect((ethernet + base + path + context).count == Stamp.byteCount)
  }

  @Test func roundTrip() {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<2_000 {
      let stamp = Stamp(
        servicePath: UInt32(random.below(1 << 24)), serviceIndex: UInt8(random.below(256)),
        flowID: UInt32(truncatingIfNeeded: random.next()), counter: UInt32(truncatingIfNeeded: random.next()),
        time: random.next(), isCloseMarker: random.below(2) == 0)
      #expect(read(bytes(stamp)) == stamp)
    }
  }

  @Test func everyMalformedVariantIsRefused() {
    let good = bytes(Self.example)
    for count in 0..<Stamp.byteCount {
      #expect(good.withUnsafeBytes { Stamp($0.baseAddress!, count: count) } == nil, "cut at \(count)")
    }
    // (offset, byte): EtherType, version, OAM, length, MD type, next protocol.
    var refused: [(Int, UInt8)] = [(12, 0x88), (13, 0x4e)]
    refused += [0x4f, 0x8f, 0xcf, 0x2f].map { (14, $0) }
    refused += (0..<64).filter { $0 != 6 }.map { (15, 0xc0 | $0) }
    refused += (0..<16).filter { $0 != 1 }.map { (16, $0) }
    refused += (0..<256).filter { $0 != 3 && $0 != 0 }.map { (17, UInt8($0)) }
    for (offset, byte) in refused {
      var bad = good
      bad[offset] = byte
      #expect(read(bad) == nil, "byte \(offset) = \(byte)")
    }
  }

  /// A forwarder may decrement the TTL, and unassigned bits are to be ignored (RFC 8300, 2.2).
  @Test func whatMayChangeOnTheWayIsAccepted() {
    for (offset, byte) in [(14, UInt8(0x00)), (14, 0x1f), (15, 0x06), (16, 0xf1), (0, 0xff), (6, 0x12)] {
      var other = bytes(Self.example)
      other[offset] = byte
      #expect(read(other) == Self.example, "byte \(offset) = \(byte)")
    }
  }

  @Test func randomBytesNeverCrash() {
    var random = SeededGenerator(seed: 8)
    let page = GuardedPage()
    for _ in 0..<5_000 {
      var noise = random.bytes(random.below(60))
      if noise.count > 14 { (noise[12], noise[13]) = (0x89, 0x4f) }
      _ = Stamp(page.place(noise[...]), count: noise.count)
    }
  }
}
