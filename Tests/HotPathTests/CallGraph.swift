import Foundation

/// Who calls whom in a linked program: direct calls and tail calls, as objdump shows them. Calls through pointers are not
/// seen; the drivers' burst functions are, and the allocation counter looks after those.
struct CallGraph {
  private(set) var callees: [String: Set<String>] = [:]

  init(disassembling binary: String) throws {
    let text = try Command.run("objdump", ["-d", "--no-show-raw-insn", "--no-addresses", binary])
    text.withUnsafeBytes { read($0) }
  }

  /// Lines are `<symbol>:` or `\tcall   <symbol>`, `\tjmp    <symbol+0x10>`, `\tcall   *0x18(%rip)        # <symbol>`.
  private mutating func read(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    let end = start + bytes.count
    var line = start
    var caller = ""
    // A function without a symbol looks like the end of the one before it: code that begins anew, with its frame, behind
    // the padding after a function's last instruction. It is called as `symbol+0x10`.
    var isBehindPadding = false
    while line < end {
      let newline = memchr(line, 0x0a, end - line).map { UnsafeRawPointer($0) } ?? end
      defer { line = newline + 1 }
      guard newline - line > 2 else { continue }
      let first = line.load(as: UInt8.self)
      let second = line.load(fromByteOffset: 1, as: UInt8.self)
      if first == UInt8(ascii: "<") {
        caller = CallGraph.symbol(line, newline) ?? ""
        callees[caller, default: []] = callees[caller, default: []]
        isBehindPadding = false
        continue
      }
      guard first == 0x09 else { continue }
      if second == UInt8(ascii: "n") {
        isBehindPadding = true
        continue
      }
      if isBehindPadding, second == UInt8(ascii: "p"), CallGraph.isFrameStart(line, newline) {
        caller = CallGraph.unnamed(caller)
      }
      isBehindPadding = false
      if second == UInt8(ascii: "c") || second == UInt8(ascii: "j") {
        guard var callee = CallGraph.symbol(line, newline) else { continue }
        if let place = callee.range(of: "+0x") {
          callee = CallGraph.unnamed(String(callee[..<place.lowerBound]))
          // A jump within the same function.
          guard second == UInt8(ascii: "c") || callee != CallGraph.unnamed(caller) else { continue }
        }
        callees[caller, default: []].insert(callee)
      }
    }
  }

  private static func unnamed(_ symbol: String) -> String {
    symbol.hasSuffix(" (what follows)") ? symbol : symbol + " (what follows)"
  }
  /// `\tpush   %rbp`
  private static func isFrameStart(_ line: UnsafeRawPointer, _ end: UnsafeRawPointer) -> Bool {
    let text = String(decoding: UnsafeRawBufferPointer(start: line, count: end - line), as: UTF8.self)
    return text.hasPrefix("\tpush") && text.contains("%rbp")
  }

  /// What stands between < and >, without its version: `swift_retain@plt` is `swift_retain`.
  private static func symbol(_ line: UnsafeRawPointer, _ end: UnsafeRawPointer) -> String? {
    guard let open = memchr(line, 0x3c, end - line).map({ UnsafeRawPointer($0) + 1 }),
      let close = memchr(open, 0x3e, end - open)
    else { return nil }
    let name = String(
      decoding: UnsafeRawBufferPointer(start: open, count: close - UnsafeMutableRawPointer(mutating: open)), as: UTF8.self)
    return name.firstIndex(of: "@").map { String(name[..<$0]) } ?? name
  }

  func symbols(_ matches: (String) -> Bool) -> [String] { callees.keys.filter(matches).sorted() }

  /// Everything that can be reached from `roots`, and for each symbol but them, who called it first.
  func reachable(from roots: [String]) -> [String: String?] {
    var callers: [String: String?] = [:]
    for root in roots { callers[root] = .some(nil) }
    var open = roots
    while let caller = open.popLast() {
      for callee in callees[caller, default: []] where callers[callee] == nil {
        callers[callee] = caller
        open.append(callee)
      }
    }
    return callers
  }
}
