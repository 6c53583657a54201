import ArgumentParser
import Foundation

/// Ends a command with one line on standard error.
struct CommandFailure: Error, CustomStringConvertible {
  let description: String
  init(_ text: String) { description = text }
}

/// The two output streams, unbuffered.
struct Terminal {
  let descriptor: Int32
  static let error = Terminal(descriptor: STDERR_FILENO)
  static let output = Terminal(descriptor: STDOUT_FILENO)
  func write(_ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let written = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if written < 0, errno != EINTR { return }
      bytes = bytes.dropFirst(max(0, written))
    }
  }
  var isTerminal: Bool { isatty(descriptor) == 1 }
}
