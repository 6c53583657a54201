/// A small, plausible bug: a few lines of one file, and what they become.
///
/// ```
/// # name                 rule
/// file, below Sources/
/// < line as it is
/// > line as the bug has it
/// ```
/// Lines are compared without their indentation; the `<` lines are consecutive and occur once in the file.
struct Mutant {
  var name: String
  var rule: String
  var file: String
  var old: [String] = []
  var new: [String] = []

  static func parse(_ text: String) -> [Mutant] {
    var mutants: [Mutant] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init) {
      if line.hasPrefix("//") { continue }
      if line.hasPrefix("# ") {
        let words = line.dropFirst(2).split(separator: " ", maxSplits: 1).map(String.init)
        let rule = words.count > 1 ? String(words[1].drop(while: { $0 == " " })) : ""
        mutants.append(Mutant(name: words[0], rule: rule, file: ""))
      } else if line.hasPrefix("< ") {
        mutants[mutants.count - 1].old.append(String(line.dropFirst(2)))
      } else if line.hasPrefix("> ") {
        mutants[mutants.count - 1].new.append(String(line.dropFirst(2)))
      } else {
        mutants[mutants.count - 1].file = line
      }
    }
    return mutants
  }

  /// Without its indentation.
  static func bare(_ line: String) -> String { String(line.drop(while: { $0 == " " })) }

  /// nil: the lines are not there, or not once.
  func apply(to source: String) -> String? {
    var lines = source.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let wanted = old.map(Mutant.bare)
    guard !wanted.isEmpty, lines.count >= wanted.count else { return nil }
    let places = (0...lines.count - wanted.count).filter { start in
      wanted.indices.allSatisfy { Mutant.bare(lines[start + $0]) == wanted[$0] }
    }
    guard places.count == 1 else { return nil }
    lines.replaceSubrange(places[0]..<places[0] + wanted.count, with: new)
    return lines.joined(separator: "\n")
  }
}
