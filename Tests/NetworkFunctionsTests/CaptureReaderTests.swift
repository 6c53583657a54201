import TestSupport
import Testing

@Suite struct CaptureReaderTests {
  /// Both byte orders, µs and ns.
  @Test(arguments: [(true, true), (true, false), (false, true), (false, false)])
  func readsEveryKindOfPcap(isBig: Bool, isNanoseconds: Bool) throws {
    func word(_ value: UInt32) -> [UInt8] {
      let bytes = [24, 16, 8, 0].map { UInt8(value >> UInt32($0) & 255) }
      return isBig ? bytes : bytes.reversed()
    }
    let magic: UInt32 = isNanoseconds ? 0xa1b2_3c4d : 0xa1b2_c3d4
    let header = word(magic) + word(isBig ? 0x0002_0004 : 0x0004_0002) + word(0) + word(0) + word(65535) + word(1)
    let record = word(7) + word(123) + word(3) + word(60) + [1, 2, 3]
    let frames = try CaptureReader.read(header + record + record)
    #expect(frames.count == 2)
    #expect(frames[1].time == 7_000_000_000 + (isNanoseconds ? 123 : 123_000))
    #expect(frames[1].bytes == [1, 2, 3])
    #expect(frames[1].originalLength == 60)
    #expect(throws: CaptureReader.Failure.self) { try CaptureReader.read(header + record.dropLast()) }
    #expect(throws: CaptureReader.Failure.self) { try CaptureReader.read(header + record.prefix(8)) }
    #expect(throws: CaptureReader.Failure.self) { try CaptureReader.read([1, 2, 3]) }
  }
}
