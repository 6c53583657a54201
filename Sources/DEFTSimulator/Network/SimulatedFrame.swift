import DEFTCore
import DEFTWire

/// Frames of a run: TCP and UDP over IPv4, 64 bytes, in both directions of a few connections.
enum SimulatedFrame {
  /// Writes a frame of connection `key` and returns its flow key and layout.
  static func write(
    to frame: UnsafeMutableRawPointer, key: Int, content: UInt64, _ random: inout SeededGenerator
  ) -> (key: FlowKey, layout: FrameLayout) {
    let isTCP = key % 3 != 0
    let isAnswer = random.oneIn(3)
    // Inside and outside addresses, as the firewall's default says; every fourth connection comes from outside.
    let inside = (UInt32(0x0a00_0001) &+ UInt32(key), UInt16(1000 + key))
    let outside = (UInt32(0xc633_6401), UInt16(443))
    let (source, destination) = isAnswer != (key % 4 == 3) ? (outside, inside) : (inside, outside)
    frame.storeBigEndian(UInt64(0x0202_0202_0202_0404), at: 0)
    frame.storeBigEndian(UInt64(0x0404_0404_0800_4500), at: 8)
    frame.storeBigEndian(UInt16(50), at: 16)
    frame.storeBigEndian(UInt16(0x4006 + (isTCP ? 0 : 11)), at: 22)
    frame.storeBigEndian(source.0, at: 26)
    frame.storeBigEndian(destination.0, at: 30)
    frame.storeBigEndian(source.1, at: 34)
    frame.storeBigEndian(destination.1, at: 36)
    if isTCP {
      let flags: UInt16 = random.oneOf([0x10, 0x10, 0x10, 0x18, isAnswer ? 0x12 : 0x02, 0x02, 0x11, 0x14])
      frame.storeBigEndian(0x5000 | flags, at: 46)
    } else {
      frame.storeBigEndian(UInt16(30), at: 38)
    }
    frame.storeBytes(of: content, toByteOffset: SimulatedFunction.contentOffset, as: UInt64.self)
    var flowKey = FlowKey()
    let layout = FrameParser.parse(frame, count: SimulatedPacket.frameBytes, key: &flowKey)
    return (flowKey, layout)
  }
}
