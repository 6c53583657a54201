import Glibc

/// The little of `stat` that decides whether a path can be read or written.
enum FileStatus {
  enum Kind { case regular, directory, other }

  /// `size` in bytes.
  case found(Kind, size: Int)
  /// An `errno` value.
  case failure(Int32)

  /// Follows symbolic links.
  init(following path: String) {
    // A zero byte would end the path early in C and name another file.
    guard !path.utf8.contains(0) else {
      self = .failure(ENOENT)
      return
    }
    var status = stat()
    guard stat(path, &status) == 0 else {
      self = .failure(errno)
      return
    }
    let kind: Kind =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .regular
      case S_IFDIR: .directory
      default: .other
      }
    self = .found(kind, size: Int(status.st_size))
  }
}
