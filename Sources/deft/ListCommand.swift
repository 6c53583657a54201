import ArgumentParser
import NetworkFunctions

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Shows the network functions that --nf can name, with their options.")

  func run() {
    for kind in NetworkFunctionKind.allCases {
      print("\(kind.rawValue)  \(kind.summary)")
      print("    state: \(kind.stateByteCount) bytes per flow")
      for option in kind.options { print("    \(option)") }
    }
  }
}
