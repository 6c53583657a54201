import Foundation
import Testing

extension EndToEnd {
  /// What cannot be done ends with one clear line and a non-zero status, and leaves nothing behind.
  @Suite("Bad input")
  struct BadInput {
    struct Case: CustomTestStringConvertible, Sendable {
      let testDescription: String
      /// What the line must say.
      let says: String
      let arguments: [String]
      init(_ description: String, says: String, _ arguments: String) {
        testDescription = description
        self.says = says
        self.arguments = arguments.split(separator: " ").map(String.init)
      }
    }

    static let files = [
      Case("missing capture", says: "no such file: 'missing.pcap'", "replay missing.pcap out.pcap"),
      Case("empty file", says: "'empty.pcap' is empty", "replay empty.pcap out.pcap"),
      Case("capture without packets", says: "no packets", "replay header.pcap out.pcap"),
      Case("truncated capture", says: "cut off in the middle, after 2 packets", "replay truncated.pcap out.pcap"),
      Case("not a capture", says: "is not a pcap or pcapng capture", "replay text.pcap out.pcap"),
      Case("not Ethernet", says: "link type", "replay raw.pcap out.pcap"),
      Case("compressed", says: "gunzip", "replay gzip.pcap out.pcap"),
      Case("directory as input", says: "'directory' is a directory", "replay directory out.pcap"),
      Case("frame longer than a buffer", says: "a frame of 65535 bytes", "replay long.pcap out.pcap"),
      Case("none as input", says: "not 'none'", "replay none out.pcap"),
      Case("no such output directory", says: "there is no directory 'nowhere'", "replay in.pcap nowhere/out.pcap"),
      Case("output is a directory", says: "it is a directory", "replay in.pcap directory"),
      Case("output below a file", says: "is not a directory", "replay in.pcap text.pcap/out.pcap"),
      Case("output where no file can be", says: "proc", "replay in.pcap /proc/out.pcap"),
      Case("output is the input", says: "the same file as the input", "replay in.pcap in.pcap"),
      Case("output is the input, spelt otherwise", says: "the same file", "replay in.pcap directory/../in.pcap"),
      Case("output is a link to the input", says: "the same file as the input", "replay in.pcap link.pcap"),
      Case("--stamped-out is the output", says: "the same file", "replay in.pcap out.pcap --stamped-out ./out.pcap"),
      Case("--json is the input", says: "the same file as the input", "replay in.pcap out.pcap --json in.pcap"),
      Case("--json into a missing directory", says: "no directory", "replay in.pcap out.pcap --json nowhere/x.json"),
      Case("--stamped-out is a directory", says: "directory", "replay in.pcap out.pcap --stamped-out directory"),
    ]

    static let environment = [
      Case("port that is not there", says: "no port named nosuch", "replay in.pcap port:nosuch"),
      Case("port as input that is not there", says: "no port named nosuch", "replay port:nosuch out.pcap"),
      Case(
        "port of another name", says: "EAL found: net_null7",
        "replay --vdev net_null7 -- in.pcap port:net_null8"),
      Case("too few hugepages", says: "EAL did not start", "replay -m 999999 --in-memory -- in.pcap out.pcap"),
      Case("too few hugepages on a socket", says: "EAL did not start", "replay --socket-mem 100000 -- in.pcap out.pcap"),
      Case("more memory than there is", says: "999999999 MiB", "replay --no-huge -m 999999999 -- in.pcap out.pcap"),
      Case("too little memory for the packets", says: "cannot create a pool", "replay --no-huge -m 16 -- in.pcap out.pcap"),
      Case("unknown EAL argument", says: "--no-such", "replay --no-such -- in.pcap out.pcap"),
      Case("unknown lcore", says: "lcore 127 unavailable", "replay -l 127 -- in.pcap out.pcap"),
      Case("unknown device", says: "net_nosuch0", "replay --vdev net_nosuch0 -- in.pcap out.pcap"),
      Case(
        "device that cannot be made", says: "No such device",
        "replay --vdev net_af_packet7,iface=nosuch -- port:net_af_packet7 out.pcap"),
      Case(
        "port whose peer is not there", says: "net_memif7",
        "replay --vdev net_memif7,role=client,socket=deft-nobody -- port:net_memif7 out.pcap"),
    ]

    static let options = [
      Case("unknown NF", says: "no network function named 'nosuch'; there are: monitor", "--nf nosuch"),
      Case("bad CIDR", says: "10.0.0.0/33", "--nf firewall --inside 10.0.0.0/33"),
      Case("bad second CIDR", says: "bad CIDR 'x'", "--nf firewall --inside 10.0.0.0/8,x"),
      Case("no CIDR after a comma", says: "address is missing", "--nf firewall --inside 10.0.0.0/8,"),
      Case("--inside without firewall", says: "--nf firewall", "--inside 10.0.0.0/8"),
      Case("--pairs 0", says: "--pairs 0 is out of range: 1…64", "--pairs 0"),
      Case("--pairs 65", says: "--pairs 65 is out of range", "--pairs 65"),
      Case("--pairs x", says: "'x' is invalid", "--pairs x"),
      Case("--stampers 0", says: "--stampers 0 is out of range: 1…16", "--stampers 0"),
      Case("--stampers 17", says: "out of range", "--stampers 17"),
      Case("--batch 0", says: "--batch 0 is out of range", "--batch 0"),
      Case("--batch 8193", says: "out of range", "--batch 8193"),
      Case("--window 0", says: "--window 0 is out of range", "--window 0"),
      Case("--window 257", says: "out of range", "--window 257"),
      Case("--buffer 0", says: "--buffer 0 is out of range", "--buffer 0"),
      Case("--buffer 1048577", says: "out of range", "--buffer 1048577"),
      Case("--buffer below --stampers", says: "leaves nothing", "--buffer 3 --stampers 4"),
      Case("--state-clock 0", says: "--state-clock 0 is out of range", "--state-clock 0"),
      Case("--state-clock 8193", says: "out of range", "--state-clock 8193"),
      Case("--flush-interval 1ns", says: "--flush-interval 1 is out of range", "--flush-interval 1ns"),
      Case("--flush-interval 11s", says: "out of range", "--flush-interval 11s"),
      Case("--flush-interval 5x", says: "'5x' is invalid", "--flush-interval 5x"),
      Case("--reorder 4097", says: "--reorder 4097 is out of range", "--reorder 4097"),
      Case("--reorder above --buffer", says: "--buffer 100 is too small", "--reorder 64 --buffer 100"),
      Case("--duplicate 1.1", says: "out of range: 0.0…1.0", "--duplicate 1.1"),
      Case("--duplicate nan", says: "out of range", "--duplicate nan"),
      Case("--flows 0", says: "--flows 0 is out of range", "--flows 0"),
      Case("--flows 6291457", says: "out of range", "--flows 6291457"),
      Case("--flows above what 16 stampers have", says: "at most 393216", "--stampers 16 --flows 393217"),
      Case("more rings than EAL has", says: "at most 48 pairs", "--stampers 16 --pairs 49"),
      Case("--idle-timeout 1us", says: "out of range", "--idle-timeout 1us"),
      Case("--idle-timeout 61m", says: "out of range", "--idle-timeout 61m"),
      Case("--rate 0", says: "'0' is invalid", "--rate 0"),
      Case("--rate fast", says: "'fast' is invalid", "--rate fast"),
      Case("--seed -1", says: "--seed", "--seed -1"),
      Case("--loop x", says: "'x' is invalid", "--loop x"),
      Case("--duration x", says: "'x' is invalid", "--duration x"),
      Case("--replication maybe", says: "'maybe' is invalid", "--replication maybe"),
      Case("--clock capture repeated", says: "--loop 1", "--clock capture --loop 2"),
      Case("--loop of a port", says: "--loop is for captures", "--loop 2 port:x"),
      Case("unknown option", says: "--nosuch", "--nosuch"),
      Case("one argument too many", says: "Unexpected argument", "x"),
    ]

    @Test("Files", arguments: files)
    func badFiles(_ bad: Case) async throws { try await check(bad, bad.arguments) }

    @Test("Machine and EAL", arguments: environment)
    func badEnvironment(_ bad: Case) async throws { try await check(bad, bad.arguments) }

    @Test("Options", arguments: options)
    func badOptions(_ bad: Case) async throws {
      let input = bad.arguments.last == "port:x" ? ["port:x", "out.pcap"] : ["in.pcap", "out.pcap"]
      try await check(bad, ["replay"] + input + bad.arguments.filter { $0 != "port:x" })
    }

    @Test("Output directory that is write-protected", .enabled(if: !Machine.isRoot, "root may write everywhere"))
    func protected() async throws {
      let bad = Case("protected", says: "Permission denied", "replay in.pcap protected/out.pcap")
      try await check(bad, bad.arguments)
    }

    private func check(_ bad: Case, _ arguments: [String]) async throws {
      let directory = try BadInput.directory()
      let before = directory.names
      let run = try await Deft.run(arguments, in: directory)
      #expect(run.status != 0 && run.status < 128, "\(run)")
      #expect(run.output == "", "\(run)")
      let lines = run.errorLines
      let first = lines.first ?? ""
      #expect(first.hasPrefix("Error: ") && first.contains(bad.says), "should say \(bad.says); \(run)")
      #expect(
        lines.dropFirst().allSatisfy { $0.hasPrefix("Help: ") || $0.hasPrefix("Usage: ") || $0.hasPrefix("  See ") },
        "\(run)")
      #expect(directory.names == before, "\(run)")
      let input = try Data(contentsOf: directory.url("in.pcap"))
      #expect([UInt8](input) == good, "the input was changed: \(run)")
    }

    private var good: [UInt8] { BadInput.good }
    private static let good = CaptureBytes.file((0..<3).map { CaptureBytes.frame(length: 100, number: $0) })

    private static func directory() throws -> WorkDirectory {
      let directory = try WorkDirectory()
      try directory.write("in.pcap", good)
      try directory.write("empty.pcap", [])
      try directory.write("header.pcap", CaptureBytes.file([]))
      try directory.write("truncated.pcap", Array(good.dropLast(10)))
      try directory.write("text.pcap", Array("# This is a text, and not a capture.\n".utf8))
      try directory.write("raw.pcap", CaptureBytes.file([[0x45, 0, 0, 20]], linkType: 101))
      try directory.write("gzip.pcap", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
      try directory.write("long.pcap", CaptureBytes.file([CaptureBytes.frame(length: 65_535, number: 1)]))
      try directory.makeDirectory("directory")
      try directory.makeDirectory("protected")
      try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: directory.path("protected"))
      try FileManager.default.createSymbolicLink(atPath: directory.path("link.pcap"), withDestinationPath: "in.pcap")
      return directory
    }
  }
}
