import Foundation
import Testing

/// The protocol's core stays pure, and files stay small.
@Suite struct PurityTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  private static func files(_ folder: String) -> [(name: String, lines: [String])] {
    let base = root.appendingPathComponent(folder).resolvingSymlinksInPath()
    guard let found = FileManager.default.enumerator(atPath: base.path) else { return [] }
    return found.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") || $0.hasSuffix(".c") || $0.hasSuffix(".h") }
      .sorted().compactMap { name in
        let path = base.appendingPathComponent(name)
        guard let text = try? String(contentsOf: path, encoding: .utf8) else { return nil }
        return ("\(folder)/\(name)", text.components(separatedBy: "\n"))
      }
  }

  @Test(arguments: [("Sources/DEFTCore", ["DEFTWire"]), ("Sources/DEFTWire", [])])
  func noClockNoRandomNoClass(folder: String, imports: [String]) {
    let files = Self.files(folder)
    #expect(files.count > 5, "\(folder) is not where it was")
    // A class costs retain and release per packet; the others make two runs of the same events differ.
    let prohibited = [
      "class ", "actor ", "print(", ".random", "SystemRandomNumberGenerator", "ContinuousClock", "SuspendingClock",
      "Date(", "async ", "Task ", "Hasher",
    ]
    for (name, lines) in files {
      for (number, line) in lines.enumerated() {
        let code = line.components(separatedBy: "//")[0]
        for word in prohibited where contains(code, word) {
          Issue.record("\(name):\(number + 1): `\(word)` in \(line)")
        }
        let words = code.split(separator: " ").map(String.init)
        if let place = words.firstIndex(of: "import"), place + 1 < words.count, !imports.contains(words[place + 1]) {
          Issue.record("\(name):\(number + 1): \(line)")
        }
      }
    }
  }

  /// `word` as a word of its own, so that "subclass " or "blueprint(" are none.
  private func contains(_ code: String, _ word: String) -> Bool {
    guard let range = code.range(of: word) else { return false }
    guard word.first != ".", range.lowerBound > code.startIndex else { return true }
    let before = code[code.index(before: range.lowerBound)]
    return !before.isLetter && !before.isNumber && before != "_"
  }

  @Test(arguments: ["Sources", "CDPDK", "Tests"]) func filesAreShort(folder: String) {
    for (name, lines) in Self.files(folder) {
      #expect(lines.count <= 501, "\(name) has \(lines.count - 1) lines; 500 is the most")
    }
  }
}
