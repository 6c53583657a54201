import DEFTWire
import Testing

@Suite struct SerialNumberTests {
  @Test(arguments: [UInt32(0), 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, .max])
  func orderHoldsAcrossTheWrap(_ start: UInt32) {
    for step: UInt32 in [1, 2, 1000, 0x4000_0000, 0x7fff_ffff] {
      let later = start &+ step
      #expect(start.isSeriallyBefore(later) && !later.isSeriallyBefore(start))
      #expect(later.isSeriallyAtLeast(start) && !start.isSeriallyAtLeast(later))
      #expect(later.serialDistance(from: start) == Int32(step))
      #expect(start.serialDistance(from: later) == -Int32(step))
    }
    #expect(!start.isSeriallyBefore(start) && start.isSeriallyAtLeast(start))
  }
}
