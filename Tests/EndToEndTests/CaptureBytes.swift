import TestSupport

/// Captures written by the tests: classic pcap, µs, little endian, Ethernet unless said otherwise.
enum CaptureBytes {
  static func file(_ frames: [[UInt8]], linkType: UInt32 = 1) -> [UInt8] {
    var bytes = word(0xa1b2_c3d4) + [2, 0, 4, 0] + word(0) + word(0) + word(262_144) + word(linkType)
    for (number, frame) in frames.enumerated() {
      let length = word(UInt32(frame.count))
      bytes += word(1_700_000_000) + word(UInt32(number)) + length + length + frame
    }
    return bytes
  }

  private static func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

  static let addresses: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]

  /// A frame of local experimental type; `number` makes it distinct.
  static func frame(length: Int, number: Int) -> [UInt8] {
    let start = addresses + [0x88, 0xb5, UInt8(number >> 8 & 255), UInt8(number & 255)]
    return Array((start + (0..<max(0, length - start.count)).map { UInt8(truncatingIfNeeded: $0 &+ number) }).prefix(length))
  }

  /// A UDP packet whose payload fills the frame up to `length` bytes.
  static func udp(length: Int, port: UInt16, number: Int) -> [UInt8] {
    func two(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }
    let ip: [UInt8] = [0x45, 0] + two(length - 14) + two(number) + [0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    let udp = two(Int(port)) + two(53) + two(length - 34) + [0, 0]
    let payload = (0..<max(0, length - 42)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number) }
    return addresses + [8, 0] + ip + udp + payload
  }
}
