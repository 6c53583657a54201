import Foundation

/// A frame of a capture file.
public struct CapturedFrame: Sendable {
  /// ns since 1970.
  public let time: UInt64
  /// What was captured of the frame.
  public let bytes: [UInt8]
  /// Bytes that the frame had on the wire.
  public let originalLength: Int

  public init(time: UInt64, bytes: [UInt8], originalLength: Int) {
    self.time = time
    self.bytes = bytes
    self.originalLength = originalLength
  }
}

/// Reads classic pcap files (draft-ietf-opsawg-pcap) of either byte order and of µs or ns; independent of the code
/// under test.
public enum CaptureReader {
  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  public static func read(_ file: URL) throws -> [CapturedFrame] {
    try read([UInt8](Data(contentsOf: file)), name: file.lastPathComponent)
  }

  /// - Parameter name: what errors call the file.
  public static func read(_ bytes: [UInt8], name: String = "capture") throws -> [CapturedFrame] {
    guard bytes.count >= 24 else { throw Failure(description: "\(name): shorter than a pcap header") }
    func word(_ offset: Int, _ isBig: Bool) -> UInt32 {
      let four = bytes[offset..<offset + 4]
      return (isBig ? Array(four) : four.reversed()).reduce(0) { $0 << 8 | UInt32($1) }
    }
    let isBig: Bool
    let fraction: UInt64  // ns
    switch word(0, true) {
    case 0xa1b2_c3d4: (isBig, fraction) = (true, 1000)
    case 0xd4c3_b2a1: (isBig, fraction) = (false, 1000)
    case 0xa1b2_3c4d: (isBig, fraction) = (true, 1)
    case 0x4d3c_b2a1: (isBig, fraction) = (false, 1)
    default: throw Failure(description: "\(name): not a pcap file")
    }
    guard word(20, isBig) & 0xffff == 1 else { throw Failure(description: "\(name): not Ethernet") }

    var frames: [CapturedFrame] = []
    var offset = 24
    while offset < bytes.count {
      guard offset + 16 <= bytes.count else { throw Failure(description: "\(name): ends within a record header") }
      let time = UInt64(word(offset, isBig)) * 1_000_000_000 + UInt64(word(offset + 4, isBig)) * fraction
      let captured = Int(word(offset + 8, isBig))
      guard offset + 16 + captured <= bytes.count else { throw Failure(description: "\(name): ends within a frame") }
      frames.append(
        CapturedFrame(
          time: time, bytes: Array(bytes[offset + 16..<offset + 16 + captured]),
          originalLength: Int(word(offset + 12, isBig))))
      offset += 16 + captured
    }
    return frames
  }
}

/// Where the tests find captures: the folder that DEFT_PCAPS names, else `../shared/pcaps` next to the package. They are
/// data, not part of the project; tests that need them are skipped where they are missing.
public enum Captures {
  public static let missing = "no captures: set DEFT_PCAPS to a folder of .pcap files"

  public static var folder: URL {
    if let path = ProcessInfo.processInfo.environment["DEFT_PCAPS"], !path.isEmpty {
      return URL(fileURLWithPath: path, isDirectory: true)
    }
    let package = URL(fileURLWithPath: #filePath)  // <package>/Tests/TestSupport/CaptureReader.swift
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return package.deletingLastPathComponent().appendingPathComponent("shared/pcaps", isDirectory: true)
  }

  /// All captures there, by name; empty if there are none.
  public static var files: [URL] {
    let all = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    return all.filter { $0.pathExtension == "pcap" }.sorted { $0.lastPathComponent < $1.lastPathComponent }
  }
}
