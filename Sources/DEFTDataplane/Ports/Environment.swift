import CDPDK
import Glibc

/// EAL, started once per process: what the user asked for before `--`, completed by what a first run needs so that no
/// hugepages, no NIC and no root are no obstacle.
public struct Environment: Sendable {
  /// The arguments that EAL was started with.
  public let arguments: [String]
  /// What EAL and the drivers complained about although EAL started, in one line; "" if nothing.
  public let warnings: String
  public let usesHugepages: Bool
  /// Worker lcores; the main lcore alone if there is no other.
  public let lcores: [UInt32]
  public let isMainLcore: Bool
  /// CPU of each lcore, −1 if it may run on several.
  public let lcoreCPUs: [Int32]
  /// CPUs for control threads: those that no worker lcore has, or all if none is left.
  public let controlCPUs: [Int32]

  /// Bytes that EAL shall have, by the kind of pages it finds.
  public struct Memory: Sendable {
    public var hugepages: Int
    public var ordinary: Int
  }

  /// Whether other threads of this process run on the lcore's CPU.
  public func sharesCPU(_ index: Int) -> Bool {
    let cpu = lcoreCPUs[index]
    return cpu < 0 || controlCPUs.contains(cpu) || lcoreCPUs.filter { $0 == cpu }.count > 1
  }

  /// No lcore runs on the control threads' CPUs.
  public var ownsControlCPUs: Bool { lcores.indices.allSatisfy { !sharesCPU($0) } }

  /// CPUs that this process may use.
  public static func availableCPUs() -> [Int32] {
    var cpus = [Int32](repeating: 0, count: 1024)
    let count = Int(cd_available_cpus(&cpus, 1024))
    return Array(cpus.prefix(min(count, 1024)))
  }

  /// The arguments for EAL: `user`'s, and where they say nothing, one worker lcore on the second CPU (on the first if there
  /// is only one), `memory` in hugepages if that much is free and ordinary pages otherwise, no PCI scan unless a PCI
  /// device is named, and a file prefix of this process's own.
  public static func arguments(user: [String], memory: Memory) -> [String] {
    func names(_ options: String...) -> Bool {
      user.contains { argument in
        options.contains { option in
          option.hasPrefix("--")
            ? argument == option || argument.hasPrefix(option + "=")
            : argument.hasPrefix(option) && !argument.hasPrefix("--")
        }
      }
    }
    var arguments = ["deft"]
    let cpus = availableCPUs()
    if !names("-l", "-c", "--lcores", "-s", "-S") {
      let main = cpus.first ?? 0
      let worker = cpus.count > 1 ? cpus[1] : main
      arguments += ["--lcores", "0@\(main),1@\(worker)"]
    }
    func mebibytes(_ bytes: Int) -> Int { (bytes + (1 << 20) - 1) >> 20 }
    var hugepages = !names("--no-huge")
    if !names("--no-huge", "--in-memory", "--huge-dir", "--socket-mem", "--legacy-mem", "--huge-unlink") {
      hugepages = freeHugepageBytes() >= memory.hugepages
      arguments.append(hugepages ? "--in-memory" : "--no-huge")
    }
    // Nobody shares this process's memory; otherwise a file of its ordinary pages' size stays behind in /var/run.
    if !hugepages, !names("--no-shconf", "--proc-type") { arguments.append("--no-shconf") }
    if !names("-m", "--socket-mem") {
      arguments += ["-m", String(mebibytes(hugepages ? memory.hugepages : memory.ordinary))]
    }
    if !names("-a", "--allow", "--no-pci", "-b", "--block") { arguments += ["--no-pci"] }
    if !names("--file-prefix") { arguments += ["--file-prefix", "deft\(getpid())"] }
    if !names("--log-level") { arguments += ["--log-level", "error"] }
    return arguments + user
  }

  /// Free hugepages of the default kinds, bytes.
  static func freeHugepageBytes() -> Int {
    var sum = 0
    for kilobytes in [2048, 1_048_576] {
      let path = "/sys/kernel/mm/hugepages/hugepages-\(kilobytes)kB/free_hugepages"
      guard let file = fopen(path, "r") else { continue }
      defer { fclose(file) }
      var buffer = [CChar](repeating: 0, count: 32)
      guard fgets(&buffer, 32, file) != nil else { continue }
      sum += atol(buffer) * kilobytes * 1024
    }
    return sum
  }

  /// Ordinary pages that the machine does not have would not be refused but end with the kernel killing some process.
  static func checkOrdinaryMemory(_ arguments: [String]) throws(DataplaneError) {
    guard arguments.contains("--no-huge"), let option = arguments.lastIndex(of: "-m"), option + 1 < arguments.count,
      let wanted = Int(arguments[option + 1]), let file = fopen("/proc/meminfo", "r")
    else { return }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    while fgets(&line, 128, file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let words = text.split(separator: " ")
      guard words.count > 1, words[0] == "MemAvailable:", let kibibytes = Int(words[1]) else { continue }
      if wanted > kibibytes / 1024 { throw .memory(mebibytes: wanted, available: kibibytes / 1024) }
    }
  }

  /// Starts EAL. Once per process, on the main thread.
  public init(user: [String], memory: Memory) throws(DataplaneError) {
    _ = Self.availableCPUs()
    let arguments = Self.arguments(user: user, memory: memory)
    self.arguments = arguments
    try Self.checkOrdinaryMemory(arguments)
    // EAL keeps pointers into its argument vector.
    var vector: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    // Asked for its help or version, EAL prints that and ends the process.
    let speaks = user.contains { ["-h", "--help", "-v", "--version"].contains($0) }
    let output: DriverOutput? = speaks ? nil : DriverOutput()
    let parsed = cd_eal_init(Int32(vector.count), &vector)
    warnings = output?.end(passOn: false) ?? ""
    guard parsed >= 0 else {
      let reason = warnings.isEmpty ? String(cString: cd_error_text(parsed)) : warnings
      throw .eal(reason: reason + " (arguments: \(arguments.dropFirst().joined(separator: " ")))")
    }
    let registered = cd_metadata_register()
    guard registered == 0 else { throw .metadata(reason: String(cString: cd_error_text(registered))) }
    usesHugepages = cd_eal_has_hugepages()
    var workers = [UInt32](repeating: 0, count: 128)
    let count = min(128, Int(cd_worker_lcores(&workers, 128)))
    isMainLcore = count == 0
    lcores = count == 0 ? [cd_main_lcore()] : Array(workers.prefix(count))
    lcoreCPUs = lcores.map { cd_lcore_cpu($0) }
    let workerCPUs = lcoreCPUs
    let cpus = Self.availableCPUs()
    let free = cpus.filter { !workerCPUs.contains($0) }
    controlCPUs = free.isEmpty ? cpus : free
  }

  /// Lets the calling thread run on the control threads' CPUs: a thread made by a pinned one inherits its CPU otherwise.
  public func pinControlThread() {
    _ = cd_thread_set_cpus(controlCPUs, UInt32(controlCPUs.count))
  }

  /// As `pinControlThread`, for one that may wait: control threads come first.
  public func pinWatchingThread() {
    pinControlThread()
    cd_thread_give_way()
  }

  public func shutDown() { cd_eal_cleanup() }
}
