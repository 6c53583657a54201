import Glibc
import Synchronization

/// An output that appears under its final name only when it is complete: it is written to `temporaryPath`, in the same
/// directory, and then renamed. An instance that goes away unpublished removes what was written.
///
/// | state     | publish()  | discard() |
/// |-----------|------------|-----------|
/// | pending   | published  | discarded |
/// | published | prohibited | nothing   |
/// | discarded | prohibited | nothing   |
///
/// A device or FIFO (`/dev/null`) is written directly: renaming a file over it would replace the device.
public final class PendingOutput: Sendable {
  /// Where the output will be.
  public let path: String
  /// What to open and write until then: `.NAME.PID.partial` in the same directory.
  public let temporaryPath: String
  /// The place `temporaryPath` is renamed to; symbolic links in `path` are followed. nil: written in place.
  private let target: String?

  private enum State { case pending, published, discarded }
  private let state = Mutex(State.pending)

  /// Checks `path` (see `OutputFile.validateWritable`) and creates nothing.
  public init(_ path: String) throws(CaptureError) {
    try OutputFile.validateWritable(path)
    self.path = path
    if case .found(.other, _) = FileStatus(following: path) {
      temporaryPath = path
      target = nil
      return
    }
    let target = Self.resolved(path)
    let (directory, name) = OutputFile.split(target)
    let temporaryName = ".\(name).\(getpid()).partial"
    guard temporaryName.utf8.count <= NAME_MAX else {
      throw .notWritable(
        path: path, reason: "the file name is too long by \(temporaryName.utf8.count - Int(NAME_MAX)) bytes")
    }
    temporaryPath = directory == "/" ? "/\(temporaryName)" : "\(directory)/\(temporaryName)"
    self.target = target
  }

  deinit { discard() }

  /// Gives the complete output its final name, replacing what was there. The writer must have flushed and closed it.
  public func publish() throws(CaptureError) {
    let failure: Int32 = state.withLock { state in
      precondition(state == .pending, "published or discarded before")
      state = .published
      guard let target, rename(temporaryPath, target) != 0 else { return 0 }
      return errno
    }
    guard failure == 0 else { throw .publishFailed(path: path, kept: temporaryPath, reason: systemReason(failure)) }
  }

  /// Checks that what was written, and closed, has the size it should have: a writer that does not look at its errors leaves
  /// a shorter file on a full disk. nil, and what is not a regular file, pass.
  public func checkComplete(bytes: UInt64?) throws(CaptureError) {
    guard let bytes, case .found(.regular, let size) = FileStatus(following: temporaryPath), UInt64(size) != bytes
    else { return }
    throw .writeFailed(path: path, reason: "\(size) of \(bytes) bytes were written")
  }

  /// Removes what was written, if it was not published.
  public func discard() {
    state.withLock { state in
      guard state == .pending else { return }
      state = .discarded
      if target != nil { unlink(temporaryPath) }
    }
  }

  /// The file behind a symbolic link, so that the link survives; `path` itself where there is nothing yet.
  private static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }
}
