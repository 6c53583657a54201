/// A block of IPv4 or IPv6 addresses (RFC 4632, RFC 4291 §2.3), as a user writes it: `192.168.0.0/16`, `2001:db8::/32`.
///
/// - Host bits may be set and are cleared: `192.168.1.5/24`, as `ip address` prints it, is `192.168.1.0/24`.
/// - Without a length it is the one address: `/32` or `/128`.
public struct CIDR: Equatable, Sendable, CustomStringConvertible {
  /// In host byte order, host bits cleared.
  public enum Network: Equatable, Sendable {
    case ipv4(UInt32)
    case ipv6(high: UInt64, low: UInt64)
  }

  public let network: Network
  /// Bits: 0 to 32, or 0 to 128.
  public let prefixLength: Int

  /// Why a text is not a CIDR, in one line.
  public struct ParseError: Error, Equatable, Sendable, CustomStringConvertible {
    public let text: String
    public let reason: String
    public var description: String { "bad CIDR '\(text)': \(reason)" }
  }

  public init(ipv4 address: UInt32, prefixLength: Int) {
    precondition((0...32).contains(prefixLength))
    network = .ipv4(address & CIDR.mask32(prefixLength))
    self.prefixLength = prefixLength
  }

  public init(ipv6 high: UInt64, _ low: UInt64, prefixLength: Int) {
    precondition((0...128).contains(prefixLength))
    network = .ipv6(high: high & CIDR.mask64(prefixLength), low: low & CIDR.mask64(prefixLength - 64))
    self.prefixLength = prefixLength
  }

  /// Throws `ParseError`.
  public init(_ text: String) throws {
    func bad(_ reason: String) -> ParseError { ParseError(text: text, reason: reason) }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let address = parts.first, !address.isEmpty else { throw bad("the address is missing") }
    guard parts.count <= 2 else { throw bad("more than one '/'") }
    let isIPv6 = address.contains(":")
    let bits = isIPv6 ? 128 : 32
    var length = bits
    if parts.count == 2 {
      guard let value = CIDR.number(parts[1], radix: 10, digits: 3), value <= bits else {
        throw bad("the length after '/' must be 0 to \(bits), not '\(parts[1])'")
      }
      length = value
    }
    if isIPv6 {
      let (high, low) = try CIDR.parseIPv6(address, bad)
      self.init(ipv6: high, low, prefixLength: length)
    } else {
      self.init(ipv4: try CIDR.parseIPv4(address, bad), prefixLength: length)
    }
  }

  /// The leading `length` bits set; lengths beyond the word's ends count as its ends.
  static func mask32(_ length: Int) -> UInt32 { ~UInt32(0) << UInt32(32 - min(max(length, 0), 32)) }
  static func mask64(_ length: Int) -> UInt64 { ~UInt64(0) << UInt64(64 - min(max(length, 0), 64)) }

  // MARK: Parsing

  private static func number(_ text: Substring, radix: Int, digits: Int) -> Int? {
    // `Int` alone would take a sign.
    guard (1...digits).contains(text.utf8.count), let first = text.utf8.first else { return nil }
    guard first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else { return nil }
    return Int(text, radix: radix)
  }

  private static func parseIPv4(_ text: Substring, _ bad: (String) -> ParseError) throws -> UInt32 {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else {
      throw bad("an IPv4 address has four numbers, '\(text)' has \(parts.count)")
    }
    return try parts.reduce(0) { address, part in
      guard let value = number(part, radix: 10, digits: 3), value <= 255 else {
        throw bad("'\(part)' in the IPv4 address is not a number from 0 to 255")
      }
      // 010 is 8 to some programs and 10 to others.
      guard part.utf8.count == 1 || part.utf8.first != UInt8(ascii: "0") else {
        throw bad("'\(part)' in the IPv4 address has a leading zero")
      }
      return address << 8 | UInt32(value)
    }
  }

  /// RFC 4291 §2.2: eight groups of up to four hexadecimal digits, one run of zero groups may be `::`, the last 32 bits
  /// may be a dotted quad.
  private static func parseIPv6(_ text: Substring, _ bad: (String) -> ParseError) throws -> (UInt64, UInt64) {
    guard !text.contains("%") else { throw bad("a zone ('%…') names an interface, not a block of addresses") }
    let halves = text.split(separator: "::", omittingEmptySubsequences: false)
    guard halves.count <= 2 else { throw bad("'::' may appear once only") }

    func groups(_ half: Substring, isEnd: Bool) throws -> [UInt16] {
      guard !half.isEmpty else { return [] }
      let parts = half.split(separator: ":", omittingEmptySubsequences: false)
      var groups: [UInt16] = []
      for (index, part) in parts.enumerated() {
        if isEnd, index == parts.count - 1, part.contains(".") {
          let quad = try parseIPv4(part, bad)
          groups += [UInt16(quad >> 16), UInt16(quad & 0xffff)]
        } else if let value = number(part, radix: 16, digits: 4) {
          groups.append(UInt16(value))
        } else {
          throw bad("'\(part)' in the IPv6 address is not one to four hexadecimal digits")
        }
      }
      return groups
    }

    var all = try groups(halves[0], isEnd: halves.count == 1)
    if halves.count == 2 {
      let tail = try groups(halves[1], isEnd: true)
      guard all.count + tail.count < 8 else {
        throw bad("'::' stands for no group: the IPv6 address has eight already")
      }
      all += Array(repeating: 0, count: 8 - all.count - tail.count) + tail
    }
    guard all.count == 8 else { throw bad("an IPv6 address has eight groups, '\(text)' has \(all.count)") }
    return (all[..<4].reduce(0) { $0 << 16 | UInt64($1) }, all[4...].reduce(0) { $0 << 16 | UInt64($1) })
  }

  // MARK: Printing

  /// Dotted quad, or RFC 5952: lower case, the first of the longest runs of two or more zero groups as `::`.
  public var description: String {
    switch network {
    case .ipv4(let address):
      let quad = [24, 16, 8, 0].map { String(address >> UInt32($0) & 255) }.joined(separator: ".")
      return "\(quad)/\(prefixLength)"
    case .ipv6(let high, let low):
      let groups = [high, low].flatMap { word in [48, 32, 16, 0].map { UInt16(truncatingIfNeeded: word >> UInt64($0)) }
      }
      var longest = 0..<0
      var start = 0
      for index in 0...8 where index == 8 || groups[index] != 0 {
        if index - start > max(longest.count, 1) { longest = start..<index }
        start = index + 1
      }
      func text(_ range: Range<Int>) -> String {
        groups[range].map { String($0, radix: 16) }.joined(separator: ":")
      }
      let address = longest.isEmpty ? text(0..<8) : "\(text(0..<longest.lowerBound))::\(text(longest.upperBound..<8))"
      return "\(address)/\(prefixLength)"
    }
  }
}
