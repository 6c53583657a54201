import ArgumentParser

/// A span of time with a unit: 500ns, 50us, 10ms, 2s, 1m; a bare number is seconds.
struct TimeSpan: ExpressibleByArgument, CustomStringConvertible {
  var nanoseconds: UInt64

  init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
  init?(argument: String) {
    let units: [(String, Double)] = [
      ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("", 1e9),
    ]
    for (suffix, factor) in units where argument.hasSuffix(suffix) {
      guard let value = Double(argument.dropLast(suffix.count)), value.isFinite, value >= 0, value * factor < 1e18
      else {
        continue
      }
      nanoseconds = UInt64(value * factor)
      return
    }
    return nil
  }
  var description: String {
    for (factor, unit) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] as [(UInt64, String)]
    where nanoseconds >= factor && nanoseconds % factor == 0 { return "\(nanoseconds / factor)\(unit)" }
    return "\(nanoseconds)ns"
  }
  var defaultValueDescription: String { description }
}

/// Packets per second: a number with k or M, or `max`.
enum PacketRate: ExpressibleByArgument, Equatable, CustomStringConvertible {
  case max
  case perSecond(UInt64)
  init?(argument: String) {
    if argument == "max" {
      self = .max
      return
    }
    let factor: Double = argument.hasSuffix("k") ? 1e3 : argument.hasSuffix("M") ? 1e6 : 1
    guard let value = Double(factor == 1 ? argument : String(argument.dropLast())), value * factor >= 1,
      value * factor <= 1e9
    else { return nil }
    self = .perSecond(UInt64(value * factor))
  }
  var description: String {
    switch self {
    case .max: "max"
    case .perSecond(let rate): "\(rate)"
    }
  }
  var defaultValueDescription: String { description }
}

enum OnOff: String, ExpressibleByArgument, CaseIterable { case on, off }
/// Whose time the stamps carry.
enum StampClock: String, ExpressibleByArgument, CaseIterable { case wall, capture }

/// `capture.pcap`, `port:NAME`, or (as a sink) `none`.
enum Endpoint: ExpressibleByArgument, Equatable {
  case file(String)
  case port(String)
  case none
  init?(argument: String) {
    if argument.isEmpty { return nil }
    if argument == "none" {
      self = .none
    } else if argument.hasPrefix("port:") {
      let name = argument.dropFirst(5)
      if name.isEmpty { return nil }
      self = .port(String(name))
    } else {
      self = .file(argument)
    }
  }
}

/// Packet numbers separated by commas, ascending: 1000,20000.
struct PacketNumbers: ExpressibleByArgument, Equatable {
  var packets: [UInt64] = []
  init() {}
  init?(argument: String) {
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      guard let number = UInt64(part), number > packets.last ?? 0 else { return nil }
      packets.append(number)
    }
  }
}

/// Migrations separated by commas: FROM:TO@PACKET, pairs by number.
struct Migrations: ExpressibleByArgument, Equatable {
  struct One: Equatable {
    var source: Int
    var target: Int
    var packet: UInt64
  }
  var all: [One] = []
  init() {}
  init?(argument: String) {
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let halves = part.split(separator: "@", omittingEmptySubsequences: false)
      let pairs = halves[0].split(separator: ":", omittingEmptySubsequences: false)
      guard halves.count == 2, pairs.count == 2, let source = Int(pairs[0]), let target = Int(pairs[1]),
        let packet = UInt64(halves[1]), packet > all.last?.packet ?? 0, source >= 0, target >= 0, source != target
      else { return nil }
      all.append(One(source: source, target: target, packet: packet))
    }
  }
}

/// What a primary does while no secondary is in sync.
enum Unprotected: String, ExpressibleByArgument, CaseIterable { case hold, release }
