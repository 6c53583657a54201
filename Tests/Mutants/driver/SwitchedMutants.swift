/// Several bugs of the same lines in one build: which of them is in force is chosen at run time, by `activeMutant`. So one
/// build serves most mutants, and each costs only the seeds that it takes.
///
/// | the lines are | become |
/// |---|---|
/// | one `guard … else {`, `if … {`, `while … {` without bindings | a condition that asks which bug is in force |
/// | one `return …`, `let x = …` | a value that asks |
/// | whole statements without declarations | `if activeMutant == 7 { … } else { … }` |
/// | anything else | nil: needs a build of its own |
struct SwitchedMutants {
  let old: [String]
  let new: [(number: Int, lines: [String])]

  var lines: [String]? { oneLine ?? statements }

  private var oneLine: [String]? {
    guard old.count == 1, new.allSatisfy({ $0.lines.count == 1 }) else { return nil }
    for (head, separator) in [("guard ", " else {"), ("if ", " {"), ("while ", " {"), ("return ", "")] {
      guard old[0].hasPrefix(head) else { continue }
      let isCondition = !separator.isEmpty
      guard let (was, tail) = split(old[0], head, separator) else { return nil }
      if isCondition, head != "guard ", tail != "{" { return nil }
      var choices: [(Int, String)] = []
      for (number, lines) in new {
        guard let (becomes, otherTail) = split(lines[0], head, separator), otherTail == tail else { return nil }
        choices.append((number, becomes))
      }
      return [head + choose(was, choices) + (isCondition ? " " + tail : "")]
    }
    if old[0].hasPrefix("let ") || old[0].hasPrefix("var "), let place = old[0].range(of: " = ") {
      let name = String(old[0][..<place.upperBound])
      guard new.allSatisfy({ $0.lines[0].hasPrefix(name) }) else { return nil }
      let choices = new.map { ($0.number, String($0.lines[0].dropFirst(name.count))) }
      let isWhole = ([old[0]] + new.map(\.lines[0])).allSatisfy { SwitchedMutants.isBalanced($0) && !$0.hasSuffix(",") }
      return isWhole ? [name + choose(String(old[0].dropFirst(name.count)), choices)] : nil
    }
    return nil
  }

  /// The condition or value of a line, and what follows it.
  private func split(_ line: String, _ head: String, _ separator: String) -> (String, String)? {
    guard line.hasPrefix(head) else { return nil }
    var middle = String(line.dropFirst(head.count))
    var tail = ""
    if !separator.isEmpty {
      guard let place = middle.range(of: separator) else { return nil }
      tail = String(middle[place.lowerBound...].drop { $0 == " " })
      middle = String(middle[..<place.lowerBound])
    }
    let parts = SwitchedMutants.parts(middle)
    guard SwitchedMutants.isBalanced(middle), !parts.contains(where: { $0.hasPrefix("let ") || $0.hasPrefix("case ") })
    else {
      return nil
    }
    return (parts.count == 1 ? middle : parts.map { "(\($0))" }.joined(separator: " && "), tail)
  }

  private func choose(_ otherwise: String, _ choices: [(Int, String)]) -> String {
    choices.reduce("(\(otherwise))") { "(activeMutant == \($1.0) ? (\($1.1)) : \($0))" }
  }

  private var statements: [String]? {
    let all = [old] + new.map(\.lines)
    let prohibited = ["let ", "var ", "case ", "default", "func ", "public ", "private ", "guard ", "&&", "||", "}", "?"]
    for lines in all {
      guard SwitchedMutants.isBalanced(lines.joined(separator: "\n")) else { return nil }
      for line in lines {
        // An argument, or a part of an expression.
        let word = line.prefix { $0 != " " }
        let isFragment = line.hasSuffix(",") || line.hasSuffix("=") || word.hasSuffix(":")
        if isFragment || prohibited.contains(where: { line.hasPrefix($0) }) { return nil }
      }
    }
    var result: [String] = []
    for (number, lines) in new { result += ["if activeMutant == \(number) {"] + lines + ["} else"] }
    result[result.count - 1] = "} else {"
    return SwitchedMutants.joined(result) + old + ["}"]
  }

  /// `} else` and the `if` behind it on one line.
  private static func joined(_ lines: [String]) -> [String] {
    var result: [String] = []
    for line in lines {
      if result.last == "} else" { result[result.count - 1] = "} else " + line } else { result.append(line) }
    }
    return result
  }

  static func isBalanced(_ text: String) -> Bool {
    var depth = 0
    for character in text {
      if "([{".contains(character) { depth += 1 }
      if ")]}".contains(character) { depth -= 1 }
      if depth < 0 { return false }
    }
    return depth == 0
  }

  /// What commas outside brackets separate.
  static func parts(_ text: String) -> [String] {
    var parts = [""]
    var depth = 0
    for character in text {
      if "([{".contains(character) { depth += 1 }
      if ")]}".contains(character) { depth -= 1 }
      if character == ",", depth == 0 { parts.append("") } else { parts[parts.count - 1].append(character) }
    }
    return parts.map { String($0.drop { $0 == " " }) }
  }
}
