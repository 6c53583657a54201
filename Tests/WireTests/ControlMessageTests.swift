import DEFTWire
import Testing

@Suite struct ControlMessageTests {
  typealias Header = ControlMessageHeader

  private func header(_ kind: Header.Kind, count: UInt32 = 0, detail: UInt32 = 0, body: Int) -> Header {
    Header(kind: kind, pair: 3, epoch: 9, batch: 77, count: count, detail: detail, length: Header.byteCount + body)
  }

  @Test func layoutIsLittleEndianAndFixed() {
    let header = Header(
      kind: .commit, pair: 0x0102, epoch: 0x0304_0506, batch: 0x0708_090a_0b0c_0d0e, count: 0x0f10_1112,
      detail: 0x1314_1516, flags: 0x1718_191a, length: 0x0020_2122)
    var bytes = [UInt8](repeating: 0xaa, count: Header.byteCount + 4)
    bytes.withUnsafeMutableBytes { header.write(to: $0.baseAddress!) }
    #expect(
      bytes == [
        0x22, 0x21, 0x20, 0x00, 7, 1, 0x02, 0x01, 0x06, 0x05, 0x04, 0x03, 0x12, 0x11, 0x10, 0x0f,
        0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x07, 0x16, 0x15, 0x14, 0x13, 0x1a, 0x19, 0x18, 0x17,
        0xaa, 0xaa, 0xaa, 0xaa,
      ])
    #expect(bytes.withUnsafeBytes { Header(reading: $0.baseAddress!) } == header)
  }

  @Test func roundTripOfHeaderAndEntries() {
    var random = SeededGenerator(seed: 1)
    func word() -> UInt32 { UInt32(truncatingIfNeeded: random.next()) }
    for kind in Header.Kind.allCases {
      let header = Header(
        kind: kind, pair: UInt16(truncatingIfNeeded: random.next()), epoch: word(), batch: random.next(), count: word(),
        detail: word(), flags: word(), length: 48)
      let clock = ClockEntry(flowID: word(), next: word())
      let state = StateEntry(
        flowID: word(), next: word(), lastPassed: word(), isClosed: random.below(2) == 0, time: random.next())
      let range = PacketRange(flowID: word(), from: word(), count: word())
      let image = PacketImage(time: random.next(), flowID: word(), counter: word(), layout: FrameLayout(rawValue: word()))
      var bytes = [UInt8](repeating: 0, count: 33 + 8 + 24 + 16 + 24)
      bytes.withUnsafeMutableBytes {
        // Unaligned on purpose.
        header.write(to: $0.baseAddress! + 1)
        clock.write(to: $0.baseAddress! + 33)
        state.write(to: $0.baseAddress! + 41)
        range.write(to: $0.baseAddress! + 65)
        image.write(to: $0.baseAddress! + 81)
      }
      bytes.withUnsafeBytes {
        #expect(Header(reading: $0.baseAddress! + 1) == header)
        #expect(ClockEntry(reading: $0.baseAddress! + 33) == clock)
        #expect(StateEntry(reading: $0.baseAddress! + 41) == state)
        #expect(PacketRange(reading: $0.baseAddress! + 65) == range)
        #expect(PacketImage(reading: $0.baseAddress! + 81) == image)
      }
    }
  }

  @Test(arguments: Header.Kind.allCases) func rightAndWrongLengths(_ kind: Header.Kind) {
    let (right, wrong): ([Header], [Header]) =
      switch kind {
      case .hello:
        (
          [header(kind, body: 8), header(kind, count: 8, body: 16), header(kind, count: 3, body: 16)],
          [header(kind, body: 0), header(kind, count: 9, body: 16), header(kind, count: .max, body: 16)]
        )
      case .welcome, .refuse, .synced: ([header(kind, body: 0), header(kind, count: 5, body: 0)], [header(kind, body: 8)])
      case .resume, .vote: ([header(kind, body: 8)], [header(kind, body: 0), header(kind, body: 16)])
      case .prepare:
        (
          [
            header(kind, body: 0), header(kind, count: 2, body: 16), header(kind, detail: 2, body: 32),
            header(kind, count: 1, detail: 2, body: 40),
          ],
          [
            header(kind, body: 8), header(kind, count: 1, body: 0), header(kind, count: 1, detail: 2, body: 24),
            header(kind, detail: 0x1000_0000, body: 0), header(kind, detail: 1, body: 8),
            header(kind, count: .max, detail: .max, body: 16), header(kind, count: 0x2000_0000, body: 0),
          ]
        )
      case .commit, .base, .baseEnd:
        (
          [
            header(kind, detail: 24, body: 0), header(kind, count: 2, detail: 24, body: 48),
            header(kind, count: 1, detail: 64, body: 64),
          ],
          [
            header(kind, body: 0), header(kind, count: 1, detail: 16, body: 16),
            header(kind, count: 1, detail: 28, body: 24),
            header(kind, count: 2, detail: 24, body: 24), header(kind, count: .max, detail: 0xffff_fff8, body: 24),
            header(kind, count: 0x2000_0000, detail: 32, body: 0),
          ]
        )
      case .move, .stage:
        (
          [header(kind, detail: 24, body: 32), header(kind, count: 2, detail: 24, body: 80)],
          [
            header(kind, detail: 24, body: 0), header(kind, body: 32), header(kind, count: 1, detail: 28, body: 60),
            header(kind, count: 1, detail: 24, body: 32), header(kind, count: .max, detail: 0xffff_fff8, body: 32),
          ]
        )
      case .moved, .unstage: ([header(kind, body: 32)], [header(kind, body: 0), header(kind, count: 1, body: 40)])
      case .want, .missing:
        (
          [header(kind, body: 0), header(kind, count: 3, body: 48)],
          [header(kind, count: 1, body: 8), header(kind, body: 16), header(kind, count: 0x1000_0000, body: 0)]
        )
      case .uncovered:
        (
          [header(kind, body: 0), header(kind, count: 3, body: 24)],
          [header(kind, count: 1, body: 16), header(kind, body: 8), header(kind, count: 0x2000_0000, body: 0)]
        )
      case .packet:
        (
          [header(kind, body: 24), header(kind, count: 8, body: 32), header(kind, count: 9, body: 40)],
          [
            header(kind, body: 0), header(kind, body: 16), header(kind, count: 1, body: 24),
            header(kind, count: 8, body: 40), header(kind, count: .max, body: 24),
          ]
        )
      }
    for good in right { #expect(good.defect() == nil, "\(good)") }
    for bad in wrong { #expect(bad.defect() == .length, "\(bad)") }
    for good in right {
      for length: UInt32 in [0, 8, 31, good.length + 1, good.length + 4, UInt32(Header.maximumLength) + 8, .max] {
        var bad = good
        bad.length = length
        #expect(bad.defect() == .length, "\(bad)")
      }
      var other = good
      other.version = 2
      #expect(other.defect() == .version)
    }
  }

  @Test func unknownKindsAreRefused() {
    for kind in UInt8.min...UInt8.max where Header.Kind(rawValue: kind) == nil {
      var header = header(.vote, body: 8)
      header.kind = kind
      #expect(header.defect() == .kind)
    }
  }

  @Test func longestMessage() {
    let body = Header.maximumLength - Header.byteCount
    #expect(header(.prepare, count: UInt32(body / 8), body: body).defect() == nil)
    #expect(header(.prepare, count: UInt32(body / 8 + 1), body: body + 8).defect() == .length)
  }

  /// Whatever is accepted has room for what it says it carries.
  @Test func randomHeadersNeverCrash() {
    var random = SeededGenerator(seed: 2)
    let page = GuardedPage()
    for _ in 0..<20_000 {
      var noise = random.bytes(Header.byteCount)
      if random.below(4) != 0 {
        noise[4] = UInt8(random.below(20))
        noise[5] = 1
        noise[0] &= 0xf8
        for offset in [1, 2, 3, 13, 14, 15, 25, 26, 27] { noise[offset] = 0 }
      }
      let header = Header(reading: page.place(noise[...]))
      guard header.defect() == nil else { continue }
      let body = UInt64(header.length) - 32
      switch Header.Kind(rawValue: header.kind)! {
      case .hello: #expect(UInt64(header.count) + 8 <= body)
      case .welcome, .refuse, .synced: #expect(body == 0)
      case .resume, .vote: #expect(body == 8)
      case .prepare: #expect(UInt64(header.count) * 8 + UInt64(header.detail) * 16 == body)
      case .want, .missing: #expect(UInt64(header.count) * 16 == body)
      case .uncovered: #expect(UInt64(header.count) * 8 == body)
      case .packet: #expect(UInt64(header.count) + 24 <= body && body < UInt64(header.count) + 32)
      case .move, .stage: #expect(UInt64(header.count) * UInt64(header.detail) + 32 == body && header.detail >= 24)
      case .moved, .unstage: #expect(body == 32)
      case .commit, .base, .baseEnd: #expect(UInt64(header.count) * UInt64(header.detail) == body && header.detail >= 24)
      }
    }
  }
}
