import Foundation
import Testing

@testable import DEFTCapture

@Suite struct SampleTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  private func generate(_ name: String, _ options: SampleOptions) throws -> (SampleSummary, [UInt8]) {
    let summary = try SampleGenerator.generate(to: directory.file(name), options: options)
    return (summary, try directory.read(name))
  }

  // MARK: - Determinism

  @Test(arguments: SampleOptions.Profile.allCases) func sameOptionsSameBytes(profile: SampleOptions.Profile) throws {
    let options = SampleOptions(packets: 5_000, flows: 200, seed: 42, profile: profile)
    var other = options
    other.seed = 43
    let first = try generate("a", options)
    let second = try generate("b", options)
    #expect(first.0 == second.0 && first.1 == second.1)
    #expect(try generate("c", other).1 != first.1)
  }

  /// The bytes are a promise across machines and versions. If this fails after an intended change of the generator, say
  /// in the release notes that seeds now stand for other captures, and put the new value here.
  @Test(arguments: [
    (SampleOptions(packets: 3_000, flows: 100, seed: 1), 0xe872_771d_4fdb_99cc as UInt64),
    (SampleOptions(packets: 3_000, flows: 100, seed: 1, profile: .minimum), 0x991c_bd7d_b9d4_0315 as UInt64),
  ])
  func bytesStayTheSame(options: SampleOptions, expected: UInt64) throws {
    // FNV-1a
    let hash = try generate("a", options).1.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    #expect(hash == expected, "0x\(String(hash, radix: 16))")
  }

  // MARK: - Sizes of everything

  @Test(arguments: [
    (1, 1), (2, 1), (3, 1), (5, 5), (99, 20), (100, 100), (101, 100), (400, 16), (2_000, 1), (5_000, 1_024),
  ])
  func exactNumbersOfPacketsAndFlows(packets: Int, flows: Int) throws {
    for profile in SampleOptions.Profile.allCases {
      for seed: UInt64 in 1...4 {
        let options = SampleOptions(packets: packets, flows: flows, seed: seed, profile: profile)
        let (summary, file) = try generate("a", options)
        let reader = try #require(FrameReader(file))
        #expect(reader.frames.count == packets && summary.packets.total == packets)
        let seen = Set(reader.frames.compactMap(FrameReader.parse).filter { $0.protocolNumber >= 0 }.map(\.flow))
        #expect(seen.count == flows && summary.flows.total == flows)
        #expect(summary.fileBytes == UInt64(file.count))
        #expect(summary.bytes == UInt64(reader.frames.reduce(0) { $0 + $1.bytes.count }))
      }
    }
  }

  @Test func internetMix() throws {
    let (summary, file) = try generate("a", SampleOptions(packets: 30_000, flows: 300))
    let lengths = try #require(FrameReader(file)).frames.map(\.bytes.count)
    #expect(lengths.min() == 60 && lengths.max() == 1514)
    let share = { (range: ClosedRange<Int>) in Double(lengths.count(where: range.contains)) / Double(lengths.count) * 12
    }
    #expect(abs(share(60...120) - 7) < 0.15)
    #expect(abs(share(500...600) - 4) < 0.15)
    #expect(abs(share(1400...1514) - 1) < 0.15)
    let unsolicited = Double(summary.flows.unsolicited) / Double(summary.flows.total)
    #expect((0.02...0.09).contains(unsolicited))
  }

  @Test func popularFlowsFollowZipf() throws {
    let (_, file) = try generate("a", SampleOptions(packets: 20_000, flows: 200))
    var counts: [[[UInt8]]: Int] = [:]
    for packet in try #require(FrameReader(file)).frames.compactMap(FrameReader.parse) where packet.protocolNumber >= 0 {
      counts[packet.flow, default: 0] += 1
    }
    let ranked = counts.values.sorted(by: >)
    #expect(abs(Double(ranked[0]) / Double(ranked[1]) - 2) < 0.1)
    #expect(ranked.last! >= 8)
  }

  @Test func timesAreMonotone() throws {
    let (summary, file) = try generate("a", SampleOptions(packets: 20_000, duration: 2))
    let times = try #require(FrameReader(file)).frames.map(\.time)
    #expect(zip(times, times.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(times.last! - times[0] == summary.durationNanoseconds)
    #expect((1_990_000_000...2_000_000_000).contains(summary.durationNanoseconds))
  }

  // MARK: - Profile 64b

  @Test(arguments: SampleOptions.Order.allCases) func minimumFrames(order: SampleOptions.Order) throws {
    let options = SampleOptions(packets: 4_096, flows: 1_024, profile: .minimum, order: order)
    let reader = try #require(FrameReader(try generate("a", options).1))
    var counters: [[[UInt8]]: UInt32] = [:]
    var numbers: [UInt32: [[UInt8]]] = [:]
    for (index, frame) in reader.frames.enumerated() {
      let packet = try #require(FrameReader.parse(frame))
      #expect(frame.bytes.count == 60 && packet.protocolNumber == 17 && packet.transport.count == 26)
      #expect(!packet.hasBadHeaderChecksum && packet.hasGoodChecksum(packet.transport))
      #expect(packet.isInsideSource && packet.destination[0] != 10)
      #expect(packet.t32(12) == counters[packet.flow, default: 0])
      #expect(packet.t32(20) == UInt32(index))
      #expect(numbers[packet.t32(8), default: packet.flow] == packet.flow)
      numbers[packet.t32(8)] = packet.flow
      counters[packet.flow, default: 0] += 1
      if order == .roundRobin { #expect(packet.t32(8) == UInt32(index % 1_024)) }
    }
    #expect(counters.count == 1_024 && numbers.count == 1_024)
    if order == .roundRobin { #expect(counters.values.allSatisfy { $0 == 4 }) }
    #expect(counters.values.max()! < 20)
  }

  // MARK: - Options, progress, failure

  @Test(arguments: [
    (SampleOptions(packets: 0), "--packets 0 is not possible; give 1 to 1,000,000,000"),
    (SampleOptions(packets: 1_000_000_001), "--packets 1000000001 is not possible; give 1 to 1,000,000,000"),
    (SampleOptions(packets: 10, flows: 0), "--flows 0 is not possible; give 1 to 1,048,576"),
    (SampleOptions(packets: 2_000_000, flows: 1_048_577), "--flows 1048577 is not possible; give 1 to 1,048,576"),
    (
      SampleOptions(packets: 10, flows: 11),
      "--flows 11 is not possible; give at most as many flows as there are packets (--packets 10)"
    ),
    (SampleOptions(packets: 10, duration: 0), "--duration 0.0 is not possible; give 0.000001 to 86400 seconds"),
    (SampleOptions(packets: 10, duration: .nan), "--duration nan is not possible; give 0.000001 to 86400 seconds"),
    (
      SampleOptions(packets: 10, duration: 1e9),
      "--duration 1000000000.0 is not possible; give 0.000001 to 86400 seconds"
    ),
    (SampleOptions(packets: 10, popularity: -1), "--popularity -1.0 is not possible; give 0 (all flows alike) to 3"),
  ])
  func refusesOptions(options: SampleOptions, message: String) {
    let error = #expect(throws: CaptureError.self) {
      try SampleGenerator.generate(to: directory.file("a"), options: options)
    }
    #expect(error?.description == message)
    #expect(directory.names.isEmpty)
  }

  @Test func defaultFlows() {
    #expect(SampleOptions(packets: 1).effectiveFlows == 1)
    #expect(SampleOptions(packets: 5_000).effectiveFlows == 100)
    #expect(SampleOptions(packets: 1_000_000).effectiveFlows == 1_000)
  }

  @Test func reportsProgress() throws {
    var calls: [Int] = []
    let options = SampleOptions(packets: 140_000, profile: .minimum)
    _ = try SampleGenerator.generate(to: directory.file("a"), options: options) { done, total in
      #expect(total == 140_000)
      calls.append(done)
    }
    #expect(calls == [65_536, 131_072, 140_000])
  }

  @Test func leavesNothingHalfWritten() throws {
    #expect(throws: CaptureError.writeFailed(path: "/dev/full", reason: "No space left on device")) {
      try SampleGenerator.generate(to: "/dev/full", options: SampleOptions(packets: 100))
    }
    let path = directory.file("none/a")
    #expect(throws: CaptureError.directoryMissing(path: path, directory: directory.file("none"))) {
      try SampleGenerator.generate(to: path, options: SampleOptions(packets: 100))
    }
    _ = try generate("a", SampleOptions(packets: 100))
    #expect(directory.names == ["a"])
  }

  @Test func inspectAgrees() throws {
    let (summary, _) = try generate("a", SampleOptions(packets: 1_000))
    let found = try CaptureFile.inspect(directory.file("a"))
    #expect(found.packets == 1_000 && found.bytes == summary.bytes && found.cutFrames == 0 && found.emptyFrames == 0)
    #expect(UInt64(found.durationNanoseconds) == summary.durationNanoseconds)
    #expect(found.firstTimestamp == Int64(SampleGenerator.startTime))
  }
}
