import Glibc

/// Catches what EAL and its drivers print while they set something up, so that a failure ends with one line that contains
/// their reason, instead of theirs and ours. Standard output goes nowhere meanwhile (EAL prints its usage there).
/// On the main thread, before any lcore runs.
struct DriverOutput: ~Copyable {
  private let savedOutput: Int32
  private let savedError: Int32
  /// A pipe that never blocks: what does not fit into it (64 KiB) is lost.
  private let reader: Int32
  private let writer: Int32

  init() {
    fflush(nil)
    savedOutput = dup(STDOUT_FILENO)
    savedError = dup(STDERR_FILENO)
    var ends: [Int32] = [-1, -1]
    _ = pipe(&ends)
    (reader, writer) = (ends[0], ends[1])
    for end in ends where end >= 0 { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    let nowhere = open("/dev/null", O_WRONLY)
    if writer >= 0, savedError >= 0 { dup2(writer, STDERR_FILENO) }
    if nowhere >= 0, savedOutput >= 0 { dup2(nowhere, STDOUT_FILENO) }
    if nowhere >= 0 { close(nowhere) }
  }

  /// Ends the catch.
  /// - Parameter passOn: print what was caught after all: the set-up succeeded, and these are warnings.
  /// - Returns: the lines without who says it and without repetitions, joined; "" if nothing was said.
  consuming func end(passOn: Bool) -> String {
    fflush(nil)
    if savedError >= 0 { dup2(savedError, STDERR_FILENO) }
    if savedOutput >= 0 { dup2(savedOutput, STDOUT_FILENO) }
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = max(0, read(reader, &bytes, bytes.count))
    for descriptor in [savedOutput, savedError, reader, writer] where descriptor >= 0 { close(descriptor) }
    if passOn {
      _ = write(STDERR_FILENO, bytes, count)
      return ""
    }
    var reasons: [String] = []
    for line in String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n") {
      var text = line.drop { $0 == " " || $0 == "\t" }
      for prefix in ["EAL: ", "FATAL: ", "deft: "] where text.hasPrefix(prefix) { text = text.dropFirst(prefix.count) }
      let reason = String(text)
      if !reason.isEmpty, !reasons.contains(reason) { reasons.append(reason) }
    }
    return reasons.prefix(4).joined(separator: "; ")
  }
}
