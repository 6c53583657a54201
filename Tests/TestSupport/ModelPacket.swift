/// What the firewall model knows of a frame. Parsed by plain code of its own, byte array in, strings out, that shares
/// nothing with the parser under test.
public struct ModelPacket: Equatable {
  public enum Content: Equatable {
    case notIP
    /// Says that it is IP, or too little to tell.
    case unreadable
    /// An IP packet whose transport or extension headers are not all there.
    case incomplete
    case fragment
    /// The four flags that matter, "SYN", "ACK", "FIN", "RST"; nil if the data offset is impossible.
    case tcp(flags: Set<String>?)
    case udp, icmp, other
  }

  public var content: Content
  /// "address" in hexadecimal, of IP only.
  public var source = ""
  public var destination = ""
  public var sourcePort = 0
  public var destinationPort = 0
  public var ipProtocol = 0
  public var version = 0

  /// The source's address, one byte per element.
  public var sourceAddress: [UInt8] = []

  /// Names one end of the flow.
  public var sender: String { "\(source) \(sourcePort)" }
  public var receiver: String { "\(destination) \(destinationPort)" }

  /// Names the flow, the same for both directions; nil if the frame is none of an IP flow.
  public var flow: String? {
    guard version != 0 else { return nil }
    let ends = [sender, receiver].sorted().joined(separator: " <-> ")
    return "IPv\(version) protocol \(ipProtocol)\(content == .fragment ? " fragments" : "") \(ends)"
  }

  public init(_ frame: [UInt8]) {
    func word(_ offset: Int) -> Int { Int(frame[offset]) * 256 + Int(frame[offset + 1]) }
    func hex(_ bytes: ArraySlice<UInt8>) -> String { bytes.map { String($0, radix: 16) }.joined(separator: ".") }

    content = .unreadable
    guard frame.count >= 14 else { return }
    var type = word(12)
    var start = 14
    var tags = 0
    while [0x8100, 0x88a8, 0x9100].contains(type) {
      tags += 1
      guard tags <= 8, frame.count >= start + 4 else { return }
      type = word(start + 2)
      start += 4
    }
    guard type == 0x0800 || type == 0x86dd else {
      content = .notIP
      return
    }

    let isVersion4 = type == 0x0800
    guard frame.count >= start + (isVersion4 ? 20 : 40), frame[start] / 16 == (isVersion4 ? 4 : 6) else { return }
    var end = frame.count
    var payload: Int?
    if isVersion4 {
      let headerLength = Int(frame[start] % 16) * 4
      let totalLength = word(start + 2)
      if totalLength != 0 { end = min(end, start + totalLength) }
      guard headerLength >= 20, start + headerLength <= end else { return }
      payload = start + headerLength
      ipProtocol = Int(frame[start + 9])
      sourceAddress = Array(frame[start + 12..<start + 16])
      destination = hex(frame[start + 16..<start + 20])
      if word(start + 6) % 0x4000 != 0 { content = .fragment }
    } else {
      let payloadLength = word(start + 4)
      if payloadLength != 0 { end = min(end, start + 40 + payloadLength) }
      sourceAddress = Array(frame[start + 8..<start + 24])
      destination = hex(frame[start + 24..<start + 40])
      ipProtocol = Int(frame[start + 6])
      payload = skipExtensionHeaders(frame, from: start + 40, end: end)
      if let first = payload, first - start > 1023 { payload = nil }
    }
    version = isVersion4 ? 4 : 6
    source = hex(sourceAddress[...])
    guard content != .fragment else { return }
    guard let payload else {
      content = .incomplete
      return
    }
    let available = end - payload
    if [6, 17, 33, 132, 136].contains(ipProtocol), available >= 4 {
      sourcePort = word(payload)
      destinationPort = word(payload + 2)
    }
    let needed = [6: 20, 17: 8, 136: 8, 1: 4, 58: 4, 132: 12][ipProtocol] ?? 0
    guard available >= needed else {
      content = .incomplete
      return
    }
    switch ipProtocol {
    case 6:
      let bits = frame[payload + 13]
      let names = [(1, "FIN"), (2, "SYN"), (4, "RST"), (16, "ACK")].filter { bits & UInt8($0.0) != 0 }.map(\.1)
      content = .tcp(flags: frame[payload + 12] / 16 >= 5 ? Set(names) : nil)
    case 17, 136: content = .udp
    case 1, 58: content = .icmp
    default: content = .other
    }
  }

  /// Walks IPv6 extension headers (RFC 8200 §4); sets `ipProtocol`, and `content` if it meets a fragment header.
  /// Returns where the rest begins, nil if that is not within the packet.
  private mutating func skipExtensionHeaders(_ frame: [UInt8], from first: Int, end: Int) -> Int? {
    var offset = first
    var skipped = 0
    while true {
      let isAuthentication = ipProtocol == 51
      if ipProtocol == 44 {
        guard offset + 8 <= end else { return nil }
        ipProtocol = Int(frame[offset])
        content = .fragment
        return offset + 8
      } else if isAuthentication || [0, 43, 60, 135, 139, 140].contains(ipProtocol) {
        guard skipped < 8, offset + (isAuthentication ? 12 : 8) <= end else { return nil }
        ipProtocol = Int(frame[offset])
        let length = Int(frame[offset + 1])
        offset += isAuthentication ? length * 4 + 8 : length * 8 + 8
        skipped += 1
      } else {
        return offset <= end ? offset : nil
      }
    }
  }
}
