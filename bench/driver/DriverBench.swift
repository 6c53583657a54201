import ArgumentParser
import Foundation

/// `deft-bench`: the whole path, from port to port, with dpdk-testpmd as yardstick in the same call on the same input.
@main
struct DriverBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "deft-bench",
    abstract:
      "Throughput of the whole path against dpdk-testpmd macswap, cost of replication, added latency, failures, migrations.",
    discussion: """
      Every figure is the median of --runs runs, taken in turn with those it is compared to; a ratio is the median of the
      ratios of neighbouring runs. One worker lcore each. Throughput of deft is what it transmitted over the whole time from
      its start until the last packet was out, start included; of testpmd what it received between two readings.
      Captures are looked for in DEFT_PCAPS, or in ../shared/pcaps beside the checkout.
      """)

  @Option(help: "Runs of each program and input.")
  var runs = 5
  @Option(help: "Seconds of each run.")
  var seconds = 3.0
  @Option(help: "The deft binary; by default the one beside this program.")
  var deft: String?
  @Flag(help: "One very short run each: shows that it works, not how fast it is.")
  var smoke = false

  func validate() throws {
    guard (1...1000).contains(runs), (0.1...3600).contains(seconds) else {
      throw ValidationError("--runs is 1…1000, --seconds 0.1…3600")
    }
  }

  func run() throws {
    let runs = smoke ? 1 : runs
    let seconds = smoke ? 0.3 : seconds
    let work = try WorkDirectory()
    defer { work.remove() }
    let deft = try DeftProgram(path: deft ?? DeftProgram.besideThisProgram)
    let pages = Hugepages(wanted: 512)
    Interruption.onSignal {
      pages.restore()
      work.remove()
    }
    defer { pages.restore() }
    let testpmd = Testpmd(hugepages: pages.areEnough, seconds: seconds, warmUp: smoke ? 0.2 : 1)

    Figure.line("# whole path: \(smoke ? "smoke run, figures mean nothing" : "\(runs) runs of \(seconds) s each, medians")")
    Figure.line("# \(Machine.description)")
    Figure.line("# \(pages.description)")
    if testpmd == nil {
      Figure.line("# dpdk-testpmd is not installed (Debian: dpdk-dev): its figures and the ratios to it are left out")
    }
    let inputs = try Inputs(deft: deft, directory: work.path, smoke: smoke)
    for reason in inputs.skipped { Figure.line("# \(reason)") }

    for input in inputs.all {
      try WholePath(deft: deft, testpmd: testpmd, runs: runs, seconds: seconds).measure(input)
    }
    try Latency(deft: deft, runs: runs, seconds: seconds, rate: smoke ? "100k" : "1M").measure(inputs.smallest)
    try Changes(deft: deft, directory: work.path, runs: runs, smoke: smoke).measure()
  }
}
