import Glibc

/// What can be wrong with a capture file, an output file or the options of a sample. Every description is one line that
/// says what, where and what to do.
public enum CaptureError: Error, Equatable, Sendable {
  // Reading
  case noSuchFile(path: String)
  case isDirectory(path: String)
  case notReadable(path: String, reason: String)
  case notRegularFile(path: String)
  case emptyFile(path: String)
  case compressed(path: String, format: String, tool: String)
  case notACapture(path: String, reason: String)
  case linkType(path: String, name: String)
  case noPackets(path: String)
  /// The file ends inside a record; `packets` whole ones came before it.
  case truncated(path: String, packets: Int)
  /// libpcap refuses what follows `packets` good packets.
  case damaged(path: String, packets: Int, reason: String)

  // Writing
  case noFileName(path: String)
  case directoryMissing(path: String, directory: String)
  case outputIsDirectory(path: String)
  case notWritable(path: String, reason: String)
  case writeFailed(path: String, reason: String)
  /// The finished output could not be renamed; it is whole, at `kept`.
  case publishFailed(path: String, kept: String, reason: String)

  // Options
  case invalidOption(name: String, value: String, expected: String)
}

extension CaptureError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .noSuchFile(let path):
      "no such file: \(quoted(path)); check the path"
    case .isDirectory(let path):
      "\(quoted(path)) is a directory; name a pcap or pcapng file in it"
    case .notReadable(let path, let reason):
      "cannot read \(quoted(path)): \(oneLine(reason)); check the permissions of the file and of its directories"
    case .notRegularFile(let path):
      "\(quoted(path)) is not a regular file; save the capture to a file first, it is read more than once"
    case .emptyFile(let path):
      "\(quoted(path)) is empty (0 bytes); capture it again or name another file"
    case .compressed(let path, let format, let tool):
      "\(quoted(path)) is compressed (\(format)); decompress it first with \(tool)"
    case .notACapture(let path, let reason):
      "\(quoted(path)) is not a pcap or pcapng capture (\(oneLine(reason))); "
        + "name a file written by tcpdump, dumpcap or 'deft generate'"
    case .linkType(let path, let name):
      "\(quoted(path)) has link type \(name), but Ethernet (EN10MB) is needed; "
        + "capture on an Ethernet interface, not on 'any'"
    case .noPackets(let path):
      "\(quoted(path)) has a file header but no packets; capture it again or name another file"
    case .truncated(let path, let packets):
      "\(quoted(path)) is cut off in the middle, after \(count(packets)); \(salvage(packets))copy the file again"
    case .damaged(let path, let packets, let reason):
      "\(quoted(path)) is damaged after \(count(packets)): \(oneLine(reason)); \(salvage(packets))capture it again"
    case .noFileName(let path):
      "\(quoted(path)) names no output file; give a path that ends in a file name"
    case .directoryMissing(let path, let directory):
      "cannot write \(quoted(path)): there is no directory \(quoted(directory)); create it with mkdir -p or name another"
    case .outputIsDirectory(let path):
      "cannot write \(quoted(path)): it is a directory; add a file name"
    case .notWritable(let path, let reason):
      "cannot write \(quoted(path)): \(oneLine(reason)); choose another place or change its permissions"
    case .writeFailed(let path, let reason):
      "writing \(quoted(path)) failed: \(oneLine(reason)); check the free space and that the directory still exists"
    case .publishFailed(let path, let kept, let reason):
      "cannot rename the finished output to \(quoted(path)): \(oneLine(reason)); it is kept as \(quoted(kept))"
    case .invalidOption(let name, let value, let expected):
      "\(name) \(oneLine(value)) is not possible; give \(expected)"
    }
  }

  private func count(_ packets: Int) -> String { packets == 1 ? "1 packet" : "\(packets) packets" }

  private func salvage(_ packets: Int) -> String { packets == 0 ? "" : "keep what is whole with 'editcap IN OUT', or " }
}

/// `text` with control characters escaped, so that a message stays one line whatever a path contains.
func oneLine(_ text: String) -> String {
  var line = ""
  for scalar in text.unicodeScalars {
    if scalar.value < 0x20 || scalar.value == 0x7f {
      line += scalar.escaped(asASCII: true)
    } else {
      line.unicodeScalars.append(scalar)
    }
  }
  return line
}

func quoted(_ path: String) -> String { "'\(oneLine(path))'" }

/// The system's words for an `errno` value.
func systemReason(_ code: Int32) -> String { String(cString: strerror(code)) }
