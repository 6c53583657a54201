import Glibc

/// Checks of an output path that are made before the work starts, not when an hour of it is to be written.
public enum OutputFile {
  /// Returns if a file can be created at `path`, or the one that is there be replaced.
  /// Devices, FIFOs and the like pass: whether a write succeeds is known only when it is made.
  public static func validateWritable(_ path: String) throws(CaptureError) {
    let (directory, name) = split(path)
    guard !name.isEmpty, !path.utf8.contains(0) else {
      if !path.isEmpty, case .found(.directory, _) = FileStatus(following: path) {
        throw .outputIsDirectory(path: path)
      }
      throw .noFileName(path: path)
    }
    switch FileStatus(following: directory) {
    case .failure(ENOENT):
      throw .directoryMissing(path: path, directory: directory)
    case .found(.regular, _), .found(.other, _):
      throw .notWritable(path: path, reason: "\(quoted(directory)) is not a directory")
    case .failure(let code):
      throw .notWritable(path: path, reason: systemReason(code))
    case .found(.directory, _):
      break
    }
    switch FileStatus(following: path) {
    case .found(.directory, _):
      throw .outputIsDirectory(path: path)
    case .found(.other, _):
      if access(path, W_OK) != 0 { throw .notWritable(path: path, reason: systemReason(errno)) }
    case .found(.regular, _):
      // A rename would replace a write-protected file, which is not what its protection asks for.
      if access(path, W_OK) != 0 { throw .notWritable(path: path, reason: systemReason(errno)) }
      try checkDirectory(directory, for: path)
    case .failure(ENOENT):
      try checkDirectory(directory, for: path)
    case .failure(let code):
      throw .notWritable(path: path, reason: systemReason(code))
    }
  }

  private static func checkDirectory(_ directory: String, for path: String) throws(CaptureError) {
    guard access(directory, W_OK | X_OK) == 0 else {
      throw .notWritable(path: path, reason: "directory \(quoted(directory)): \(systemReason(errno))")
    }
  }

  /// "a/b.pcap" → ("a", "b.pcap"); "b.pcap" → (".", "b.pcap"); "/b" → ("/", "b"); "a/" and "a/.." → no name.
  static func split(_ path: String) -> (directory: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else {
      return (".", path == "." || path == ".." ? "" : path)
    }
    let name = String(path[path.utf8.index(after: slash)...])
    let directory = slash == path.startIndex ? "/" : String(path[..<slash])
    return (directory, name == "." || name == ".." ? "" : name)
  }
}
