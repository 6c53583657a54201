/// The one's-complement sum of RFC 1071.
enum InternetChecksum {
  /// The sum of `count` bytes taken as big-endian 16-bit words (an odd last byte is the upper half of a word), folded
  /// to 16 bits, not complemented. Sums of parts that begin at even distances may be added.
  static func sum(_ bytes: UnsafeRawPointer, count: Int) -> UInt32 {
    // The sum does not depend on the byte order (RFC 1071, 2 B): add little-endian words of 32 bits, swap once at the end.
    var sum: UInt64 = 0
    var offset = 0
    while offset + 4 <= count {
      sum &+= UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
      offset += 4
    }
    if offset + 2 <= count {
      sum &+= UInt64(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
      offset += 2
    }
    if offset < count { sum &+= UInt64(bytes.load(fromByteOffset: offset, as: UInt8.self)) }
    return UInt32(fold(sum).byteSwapped)
  }

  /// The four 16-bit words of `value`, added.
  static func sum(_ value: UInt64) -> UInt32 {
    UInt32(value >> 48) + UInt32(value >> 32 & 0xffff) + UInt32(value >> 16 & 0xffff) + UInt32(value & 0xffff)
  }

  /// What goes into the checksum field: the complement of the folded sum.
  static func field(_ sum: UInt32) -> UInt16 { ~fold(UInt64(sum)) }

  private static func fold(_ sum: UInt64) -> UInt16 {
    var sum = sum
    while sum >> 16 != 0 { sum = (sum & 0xffff) + (sum >> 16) }
    return UInt16(sum)
  }
}
