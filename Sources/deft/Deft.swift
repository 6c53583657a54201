import ArgumentParser

/// The command line. EAL's arguments come before `--`, DEFT's own after it, as in every DPDK program; without `--` all are
/// DEFT's.
@main
struct Deft: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "deft",
    abstract:
      "Stateful network functions that survive crashes and move without losing a packet, reordering a flow or forgetting state.",
    discussion: """
      A first run, without root, hugepages or a NIC:
        deft generate sample.pcap
        deft replay sample.pcap out.pcap --nf monitor
      """,
    version: "0.1.0",
    subcommands: [ReplayCommand.self, SimulateCommand.self, GenerateCommand.self, ListCommand.self])

  static func main() {
    let (eal, own) = EALArguments.split(Array(CommandLine.arguments.dropFirst()))
    EALArguments.given = eal
    main(own)
  }
}

/// The arguments before `--`.
enum EALArguments {
  nonisolated(unsafe) static var given: [String] = []
  /// Subcommands that start EAL.
  static let commands: Set<String> = ["replay"]

  /// `replay -l 0,1 -- in.pcap out.pcap` → (`-l 0,1`, `replay in.pcap out.pcap`).
  static func split(_ arguments: [String]) -> (eal: [String], own: [String]) {
    guard let command = arguments.first, commands.contains(command),
      let separator = arguments.firstIndex(of: "--")
    else { return ([], arguments) }
    return (Array(arguments[1..<separator]), [command] + arguments[(separator + 1)...])
  }
}
