import Foundation

/// The files that one command reads and writes must be different ones: two writers would spoil one file, and an output that
/// replaces the input destroys what the run was made from.
enum DistinctFiles {
  /// - Parameter files: in the words of the command line ("the input", "--json"); whoever comes later is complained about.
  static func check(_ files: [(name: String, path: String)]) throws {
    var seen: [String: String] = [:]
    for file in files {
      guard let identity = identity(file.path) else { continue }
      if let other = seen[identity] {
        throw CommandFailure("\(file.name) '\(file.path)' is the same file as \(other); name another")
      }
      seen[identity] = file.name
    }
  }

  /// Names a file however it is spelt or linked to, also before it exists; nil for devices and FIFOs, which may be shared, and
  /// for what cannot be looked at.
  private static func identity(_ path: String) -> String? {
    var status = stat()
    if stat(path, &status) == 0 {
      return status.st_mode & S_IFMT == S_IFREG ? "\(status.st_dev):\(status.st_ino)" : nil
    }
    let url = URL(fileURLWithPath: path)
    guard stat(url.deletingLastPathComponent().path, &status) == 0 else { return nil }
    return "\(status.st_dev):\(status.st_ino)/\(url.lastPathComponent)"
  }
}
