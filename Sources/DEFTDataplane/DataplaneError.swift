/// What can go wrong before packets flow. Every description is one line: what, where, what to do.
public enum DataplaneError: Error, CustomStringConvertible {
  case eal(reason: String)
  case memory(mebibytes: Int, available: Int)
  case metadata(reason: String)
  case ring(name: String, capacity: Int, reason: String)
  case pool(packets: Int, bytes: Int, reason: String)
  case device(name: String, arguments: String, reason: String)
  case noSuchPort(String, available: [String])
  case portStep(name: String, step: String, reason: String)
  case noLink(name: String)
  case lcoreBusy(UInt32)
  case configuration(String)

  public var description: String {
    switch self {
    case .eal(let reason):
      "EAL did not start: \(reason); check the EAL arguments before '--' (deft replay --help shows examples)"
    case .memory(let mebibytes, let available):
      "EAL would need \(mebibytes) MiB of memory, but \(available) MiB are free; "
        + "use fewer --pairs, a smaller --buffer, or less in -m"
    case .metadata(let reason):
      "no room for DEFT's packet metadata in the mbuf (\(reason)): another library of this process uses its dynamic fields"
    case .ring(let name, let capacity, let reason):
      "cannot create ring \(name) with \(capacity) entries: \(reason); use a smaller --buffer or give EAL more memory (-m)"
    case .pool(let packets, let bytes, let reason):
      "cannot create a pool of \(packets) packet buffers of \(bytes) bytes: \(reason); give EAL more memory (-m MiB, or more hugepages), or use a smaller --buffer"
    case .device(let name, let arguments, let reason):
      "cannot create device \(name) with \(arguments): \(reason)"
    case .noSuchPort(let name, let available):
      available.isEmpty
        ? "no port named \(name): EAL found no ports; name one before '--', for example --vdev net_af_packet0,iface=eth1"
        : "no port named \(name); EAL found: \(available.joined(separator: ", "))"
    case .portStep(let name, let step, let reason):
      "port \(name) cannot \(step): \(reason)"
    case .noLink(let name):
      "port \(name) has no link: connect it or bring its peer up, then start again"
    case .lcoreBusy(let lcore):
      "lcore \(lcore) is already running something"
    case .configuration(let text):
      text
    }
  }
}
