import Foundation
import TestSupport
import Testing

extension EndToEnd {
  /// Failures that need root to be made: a link that is down, a disk that is full.
  @Suite("Bad machine", .enabled(if: Machine.isRoot && Machine.hasIP, "needs root and ip"))
  struct BadMachine {
    /// A pair of virtual Ethernet interfaces; removed at the end.
    private final class Veth {
      let name = "dft\(getpid() % 100_000)"
      var peer: String { name + "p" }
      init?() throws {
        guard try Machine.run("ip", ["link", "add", name, "type", "veth", "peer", "name", peer]) != nil else { return nil }
        _ = try Machine.run("ip", ["link", "set", name, "up"])
      }
      func raisePeer() throws { _ = try Machine.run("ip", ["link", "set", peer, "up"]) }
      deinit { _ = try? Machine.run("ip", ["link", "del", name]) }
    }

    @Test("Port without link, as input and as output", arguments: [true, false])
    func noLink(isInput: Bool) async throws {
      let directory = try WorkDirectory()
      try directory.write("in.pcap", CaptureBytes.file([CaptureBytes.frame(length: 100, number: 1)]))
      guard let veth = try Veth() else { return }  // no network administration here
      let eal = ["--vdev", "net_af_packet7,iface=\(veth.name)", "--"]
      let ends = isInput ? ["port:net_af_packet7", "out.pcap"] : ["in.pcap", "port:net_af_packet7"]
      let arguments = ["replay"] + eal + ends + ["--duration", "1s", "--json", "-", "--quiet"]

      let down = try await Deft.run(arguments, in: directory)
      #expect(down.status == 1 && down.output == "", "\(down)")
      #expect(down.errorLines.count == 1 && down.errors.contains("port net_af_packet7 has no link"), "\(down)")
      #expect(directory.names == ["in.pcap"], "\(down)")

      try veth.raisePeer()
      let up = try await Deft.run(arguments, in: directory)
      try expectSound(up, pairs: 1)
    }

    /// net_pcap does not look whether its writes succeed, so DEFT must.
    @Test("Full disk", arguments: ["out", "stamped"])
    func fullDisk(which: String) async throws {
      let directory = try WorkDirectory()
      try directory.makeDirectory("small")
      let frames = (0..<200).map { CaptureBytes.frame(length: 1000, number: $0) }
      try directory.write("in.pcap", CaptureBytes.file(frames))
      let small = directory.path("small")
      guard try Machine.run("mount", ["-t", "tmpfs", "-o", "size=64k", "none", small]) != nil else { return }
      defer { _ = try? Machine.run("umount", [small]) }
      let outputs = which == "out" ? ["small/out.pcap"] : ["none", "--stamped-out", "small/out.pcap"]
      let run = try await Deft.run(["replay", "in.pcap"] + outputs + ["--quiet"], in: directory)
      #expect(run.status == 1 && run.output == "", "\(run)")
      #expect(run.errorLines.count == 1 && run.errors.contains("writing 'small/out.pcap' failed"), "\(run)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: small) == [], "\(run)")
    }
  }
}
