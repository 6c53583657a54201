import Foundation
import Testing

@testable import DEFTCapture

@Suite struct OutputTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  private func failure(_ path: String) -> CaptureError? {
    do throws(CaptureError) {
      try OutputFile.validateWritable(path)
      return nil
    } catch {
      #expect(!error.description.contains("\n"))
      return error
    }
  }

  @Test func validates() throws {
    let existing = try directory.write("there", [1])
    #expect(failure(directory.file("new")) == nil)
    #expect(failure(existing) == nil)
    #expect(failure("/dev/null") == nil)
    #expect(failure("name-without-directory") == nil)
    #expect(failure(directory.path) == .outputIsDirectory(path: directory.path))
    #expect(failure(directory.path + "/") == .outputIsDirectory(path: directory.path + "/"))
    #expect(failure("") == .noFileName(path: ""))
    #expect(failure("none/") == .noFileName(path: "none/"))
    let lost = directory.file("none/a.pcap")
    #expect(failure(lost) == .directoryMissing(path: lost, directory: directory.file("none")))
    let below = existing + "/a.pcap"
    #expect(failure(below) == .notWritable(path: below, reason: "'\(existing)' is not a directory"))
    let long = directory.file(String(repeating: "n", count: 300))
    #expect(failure(long) == .notWritable(path: long, reason: "File name too long"))
  }

  @Test(.enabled(if: geteuid() != 0, "root may write everywhere")) func validatesPermissions() throws {
    let protected = try directory.write("protected", [1])
    chmod(protected, 0o444)
    #expect(failure(protected) == .notWritable(path: protected, reason: "Permission denied"))
    chmod(directory.path, 0o555)
    defer { chmod(directory.path, 0o755) }
    let new = directory.file("new")
    #expect(failure(new) == .notWritable(path: new, reason: "directory '\(directory.path)': Permission denied"))
  }

  @Test func splits() {
    #expect(OutputFile.split("a/b") == ("a", "b"))
    #expect(OutputFile.split("b") == (".", "b"))
    #expect(OutputFile.split("/b") == ("/", "b"))
    #expect(OutputFile.split("/a/ä.pcap") == ("/a", "ä.pcap"))
    #expect(OutputFile.split("a/") == ("a", ""))
    #expect(OutputFile.split("..") == (".", ""))
  }

  @Test func publishes() throws {
    _ = try directory.write("out", [1])
    let output = try PendingOutput(directory.file("out"))
    #expect(output.temporaryPath == directory.file(".out.\(getpid()).partial"))
    #expect(directory.names == ["out"])
    try Data([2]).write(to: URL(fileURLWithPath: output.temporaryPath))
    #expect(try directory.read("out") == [1])
    try output.publish()
    output.discard()
    #expect(directory.names == ["out"])
    #expect(try directory.read("out") == [2])
  }

  @Test func discards() throws {
    _ = try directory.write("out", [1])
    do {
      let output = try PendingOutput(directory.file("out"))
      try Data([2]).write(to: URL(fileURLWithPath: output.temporaryPath))
      #expect(directory.names.count == 2)
    }
    #expect(directory.names == ["out"])
    #expect(try directory.read("out") == [1])
  }

  @Test func followsLinks() throws {
    _ = try directory.write("target", [1])
    symlink("target", directory.file("link"))
    let output = try PendingOutput(directory.file("link"))
    try Data([2]).write(to: URL(fileURLWithPath: output.temporaryPath))
    try output.publish()
    #expect(try directory.read("target") == [2])
    #expect(directory.names == ["link", "target"])
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: directory.file("link")) == "target")
  }

  /// Renaming a file over a device would replace the device.
  @Test func writesDevicesInPlace() throws {
    let output = try PendingOutput("/dev/null")
    #expect(output.temporaryPath == "/dev/null")
    try output.publish()
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
  }

  @Test func keepsWhatCannotBeRenamed() throws {
    let output = try PendingOutput(directory.file("out"))
    try Data([2]).write(to: URL(fileURLWithPath: output.temporaryPath))
    try FileManager.default.createDirectory(atPath: directory.file("out"), withIntermediateDirectories: false)
    let expected = CaptureError.publishFailed(
      path: directory.file("out"), kept: output.temporaryPath, reason: "Is a directory")
    #expect(throws: expected) { try output.publish() }
    #expect(directory.names.count == 2)
  }
}
