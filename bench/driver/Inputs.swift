import DEFTCapture
import Foundation

/// A capture that both programs read, over and over, from memory.
struct Input {
  let name: String
  let path: String
  let packets: Int
  let largestFrame: Int
  let comparesReplication: Bool

  init(name: String, path: String, comparesReplication: Bool = false) throws {
    let summary = try CaptureFile.inspect(path)
    self.name = name
    self.path = path
    packets = summary.packets
    largestFrame = summary.largestFrame
    self.comparesReplication = comparesReplication
  }
}

/// The generated capture, and real ones where they are at hand.
struct Inputs {
  /// 64-byte frames over 1,024 flows.
  let smallest: Input
  private(set) var all: [Input]
  private(set) var skipped: [String] = []

  init(deft: DeftProgram, directory: String, smoke: Bool) throws {
    let path = "\(directory)/64b.pcap"
    try deft.generate(
      path,
      options: ["--profile", "64b", "--packets", "1024", "--flows", "1024", "--order", "round-robin", "--seed", "1"])
    smallest = try Input(name: "64b", path: path, comparesReplication: true)
    all = [smallest]
    for name in ["mix-ndpi", "scan-attack"] {
      if smoke {
        skipped.append("\(name): skipped in a smoke run")
      } else if let path = Inputs.capture(name) {
        all.append(try Input(name: name, path: path))
      } else {
        skipped.append("\(name): skipped, \(name).pcap is not in DEFT_PCAPS")
      }
    }
  }

  /// In DEFT_PCAPS, or in shared/pcaps beside the checkout that this program was built or started in.
  private static func capture(_ name: String) -> String? {
    var folders: [String] = []
    if let given = ProcessInfo.processInfo.environment["DEFT_PCAPS"] {
      folders.append(given)
    } else {
      var folder = URL(fileURLWithPath: DeftProgram.besideThisProgram)
      while folder.path != "/" {
        folder.deleteLastPathComponent()
        folders.append(folder.appendingPathComponent("shared/pcaps").path)
      }
      folders.append("../shared/pcaps")
    }
    return folders.map { "\($0)/\(name).pcap" }.first { FileManager.default.isReadableFile(atPath: $0) }
  }
}
