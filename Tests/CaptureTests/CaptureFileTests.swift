import Foundation
import Testing

@testable import DEFTCapture

@Suite struct CaptureFileTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  /// Runs `inspect` and returns its error, which must be one line.
  private func failure(_ path: String) -> CaptureError? {
    do throws(CaptureError) {
      _ = try CaptureFile.inspect(path)
      return nil
    } catch {
      #expect(!error.description.contains("\n") && error.description.count > 20, "\(error)")
      return error
    }
  }

  @Test func countsPackets() throws {
    var file = CaptureBytes.pcap()
    file.packet(seconds: 100, fraction: 5, captured: 60)
    file.packet(seconds: 99, fraction: 7, captured: 1514)
    file.packet(seconds: 101, fraction: 0, captured: 128, length: 9000)
    file.packet(seconds: 100, fraction: 0, captured: 0, length: 0)
    let summary = try CaptureFile.inspect(directory.write("a.pcap", file.bytes))
    var expected = CaptureSummary()
    expected.packets = 4
    expected.bytes = 60 + 1514 + 128
    expected.largestFrame = 1514
    expected.cutFrames = 1
    expected.emptyFrames = 1
    expected.linkType = "EN10MB"
    expected.firstTimestamp = 99_000_007_000
    expected.lastTimestamp = 101_000_000_000
    #expect(summary == expected)
    #expect(summary.durationNanoseconds == 1_999_993_000)
  }

  @Test func readsNanoseconds() throws {
    var file = CaptureBytes.pcap(nanoseconds: true)
    file.packet(seconds: 1, fraction: 123_456_789, captured: 60)
    #expect(try CaptureFile.inspect(directory.write("a.pcap", file.bytes)).firstTimestamp == 1_123_456_789)
  }

  @Test func readsPcapng() throws {
    var file = CaptureBytes.pcapng()
    file.packetBlock(microseconds: 1_000_002, captured: 61)
    file.packetBlock(microseconds: 1_000_003, captured: 64)
    let summary = try CaptureFile.inspect(directory.write("a.pcapng", file.bytes))
    #expect(summary.packets == 2 && summary.bytes == 125)
    #expect(summary.firstTimestamp == 1_000_002_000 && summary.lastTimestamp == 1_000_003_000)
  }

  /// A time no clock shows must not trap.
  @Test func survivesAbsurdTimes() throws {
    var file = CaptureBytes.pcapng()
    file.packetBlock(microseconds: .max, captured: 60)
    #expect(try CaptureFile.inspect(directory.write("a.pcapng", file.bytes)).packets == 1)
  }

  @Test func noSuchFile() {
    #expect(failure(directory.file("none")) == .noSuchFile(path: directory.file("none")))
    #expect(failure(directory.file("none/a.pcap")) == .noSuchFile(path: directory.file("none/a.pcap")))
    #expect(failure("") == .noSuchFile(path: ""))
    #expect(failure("a\0b") == .noSuchFile(path: "a\0b"))
    // libpcap would read the standard input.
    #expect(failure("-") == .noSuchFile(path: "-"))
  }

  @Test func aDirectory() { #expect(failure(directory.path) == .isDirectory(path: directory.path)) }

  @Test func notARegularFile() {
    let path = directory.file("fifo")
    mkfifo(path, 0o600)
    #expect(failure(path) == .notRegularFile(path: path))
  }

  @Test(.enabled(if: geteuid() != 0, "root may read everything")) func notReadable() throws {
    let path = try directory.write("a.pcap", CaptureBytes.pcap().bytes)
    chmod(path, 0)
    #expect(failure(path) == .notReadable(path: path, reason: "Permission denied"))
  }

  @Test func empty() throws {
    let path = try directory.write("a.pcap", [])
    #expect(failure(path) == .emptyFile(path: path))
  }

  @Test(arguments: [1, 3, 40, 5000]) func notACapture(length: Int) throws {
    let path = try directory.write("a.pcap", [UInt8](repeating: 0x61, count: length))
    guard case .notACapture(path, _) = failure(path) else {
      Issue.record("\(failure(path) as Any)")
      return
    }
  }

  @Test func compressed() throws {
    let path = try directory.write("a.pcap.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
    #expect(failure(path) == .compressed(path: path, format: "gzip", tool: "gunzip"))
  }

  @Test func noPackets() throws {
    for (name, file) in [("a.pcap", CaptureBytes.pcap()), ("a.pcapng", .pcapng())] {
      let path = try directory.write(name, file.bytes)
      #expect(failure(path) == .noPackets(path: path))
    }
  }

  @Test func truncated() throws {
    var pcap = CaptureBytes.pcap()
    var pcapng = CaptureBytes.pcapng()
    for packet in 0..<3 {
      pcap.packet(seconds: 1, fraction: 0, captured: 100)
      pcapng.packetBlock(microseconds: UInt64(packet), captured: 100)
    }
    let inData = try directory.write("data.pcap", pcap.bytes.dropLast(1))
    #expect(failure(inData) == .truncated(path: inData, packets: 2))
    #expect(failure(inData)?.description.contains("after 2 packets") == true)
    let inRecordHeader = try directory.write("record.pcap", pcap.bytes.dropLast(110))
    #expect(failure(inRecordHeader) == .truncated(path: inRecordHeader, packets: 2))
    let inFileHeader = try directory.write("header.pcap", Array(pcap.bytes.prefix(20)))
    #expect(failure(inFileHeader) == .truncated(path: inFileHeader, packets: 0))
    let inBlock = try directory.write("block.pcapng", pcapng.bytes.dropLast(1))
    #expect(failure(inBlock) == .truncated(path: inBlock, packets: 2))
  }

  @Test func damaged() throws {
    var file = CaptureBytes.pcap()
    file.packet(seconds: 1, fraction: 0, captured: 60)
    for word: UInt32 in [1, 0, 0x7fff_ffff, 0x7fff_ffff] { file.put32(word) }
    let path = try directory.write("a.pcap", file.bytes)
    guard case .damaged(path, 1, _) = failure(path) else {
      Issue.record("\(failure(path) as Any)")
      return
    }

    // libpcap reads no file whose interfaces differ in link type.
    var mixed = CaptureBytes.pcapng()
    mixed.packetBlock(microseconds: 1, captured: 60)
    mixed.interface(linkType: 113)
    mixed.packetBlock(microseconds: 1, captured: 60, interface: 1)
    let mixedPath = try directory.write("a.pcapng", mixed.bytes)
    guard case .damaged(mixedPath, 1, _) = failure(mixedPath) else {
      Issue.record("\(failure(mixedPath) as Any)")
      return
    }
  }

  @Test func otherLinkType() throws {
    var file = CaptureBytes.pcap(linkType: 113)
    file.packet(seconds: 1, fraction: 0, captured: 60)
    let path = try directory.write("a.pcap", file.bytes)
    #expect(failure(path) == .linkType(path: path, name: "LINUX_SLL (Linux cooked v1)"))
    let unknown = try directory.write("b.pcap", CaptureBytes.pcap(linkType: 60_000).bytes)
    #expect(failure(unknown) == .linkType(path: unknown, name: "DLT 60000"))
  }

  @Test func messagesStayOneLine() {
    #expect(CaptureError.noSuchFile(path: "a\nb").description == "no such file: 'a\\nb'; check the path")
  }
}
