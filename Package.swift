// swift-tools-version: 6.1
import Foundation
import PackageDescription

// SwiftPM's own .pc parser refuses Debian's libdpdk.pc, so pkg-config is asked here and its flags are passed on.
func pkgConfig(_ arguments: String...) -> [String] {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["pkg-config"] + arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return [] }
  let output = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return String(decoding: output, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
}

// DEFT_MARCH picks the instruction set of release builds, Swift's and the C shims' (default: the machine that builds).
let march = ProcessInfo.processInfo.environment["DEFT_MARCH"] ?? "native"
let dpdkCFlags = pkgConfig("--cflags", "libdpdk").filter { !$0.hasPrefix("-march") }
if dpdkCFlags.isEmpty {
  FileHandle.standardError.write(
    Data(
      "error: libdpdk not found by pkg-config; run 'make setup' or: apt-get install libdpdk-dev libnuma-dev pkg-config\n"
        .utf8))
}
let dpdkLibraries = pkgConfig("--libs", "libdpdk").flatMap { flag in
  flag.hasPrefix("-Wl,") ? ["-Xlinker", String(flag.dropFirst(4))] : [flag]
}

// CI builds with DEFT_WERROR=1: a warning in this package is an error there.
let strict = ProcessInfo.processInfo.environment["DEFT_WERROR"] == "1"
let swiftSettings: [SwiftSetting] =
  [.unsafeFlags(["-cross-module-optimization", "-Xcc", "-march=\(march)"], .when(configuration: .release))]
  + (strict ? [.unsafeFlags(["-warnings-as-errors"])] : [])
let cWarnings = ["-Wall", "-Wextra"] + (strict ? ["-Werror"] : [])

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let log = Target.Dependency.product(name: "Logging", package: "swift-log")

let package = Package(
  name: "deft",
  products: [
    .executable(name: "deft", targets: ["deft"]),
    .library(name: "NetworkFunctions", targets: ["NetworkFunctions"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    .target(
      name: "CDPDK", path: "CDPDK",
      cSettings: [.unsafeFlags(dpdkCFlags + ["-O3", "-march=\(march)"] + cWarnings)],
      linkerSettings: [.unsafeFlags(dpdkLibraries)]),
    .systemLibrary(name: "CPcap", pkgConfig: "libpcap", providers: [.apt(["libpcap-dev"])]),

    .target(name: "DEFTWire", swiftSettings: swiftSettings),
    .target(name: "DEFTCore", dependencies: ["DEFTWire"], swiftSettings: swiftSettings),
    .target(name: "DEFTMailbox", dependencies: ["DEFTCore"], swiftSettings: swiftSettings),
    .target(name: "NetworkFunctions", dependencies: ["DEFTWire", "DEFTCore"], swiftSettings: swiftSettings),
    .target(
      name: "DEFTSimulator", dependencies: ["DEFTWire", "DEFTCore", "NetworkFunctions"], swiftSettings: swiftSettings),
    .target(name: "DEFTCapture", dependencies: ["CPcap"], swiftSettings: swiftSettings),
    .target(
      name: "DEFTDataplane", dependencies: ["CDPDK", "DEFTWire", "DEFTCore", "DEFTMailbox"],
      swiftSettings: swiftSettings),
    .target(
      name: "DEFTControl", dependencies: ["DEFTWire", "DEFTCore", "DEFTMailbox", nioCore, nioPosix, log],
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "deft",
      dependencies: [
        "DEFTDataplane", "DEFTControl", "DEFTCapture", "DEFTSimulator", "NetworkFunctions", log,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: swiftSettings),

    // Yardsticks: the ordering loop in C, and what runs it against the Swift one.
    .target(
      name: "COrderingTwin", path: "bench/OrderingTwin",
      cSettings: [.unsafeFlags(["-std=gnu11", "-O3", "-march=\(march)"] + cWarnings)]),
    .executableTarget(
      name: "deft-bench-ordering",
      dependencies: [
        "COrderingTwin", "CDPDK", "DEFTWire", "DEFTCore", "DEFTMailbox", "DEFTDataplane", "NetworkFunctions",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "bench/ordering", swiftSettings: swiftSettings),
    .executableTarget(
      name: "deft-bench",
      dependencies: ["DEFTCapture", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: "bench/driver", swiftSettings: swiftSettings),

    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: swiftSettings),
    .testTarget(
      name: "ControlTests", dependencies: ["DEFTControl", "DEFTMailbox", "DEFTWire", "DEFTCore"],
      swiftSettings: swiftSettings),
    .testTarget(name: "WireTests", dependencies: ["DEFTWire", "TestSupport"], swiftSettings: swiftSettings),
    .testTarget(name: "CoreTests", dependencies: ["DEFTCore", "DEFTWire"], swiftSettings: swiftSettings),
    .testTarget(
      name: "SimulatorTests", dependencies: ["DEFTSimulator"], exclude: ["Scenarios"], swiftSettings: swiftSettings),
    .testTarget(name: "DataplaneTests", dependencies: ["DEFTDataplane"], swiftSettings: swiftSettings),
    .testTarget(name: "CaptureTests", dependencies: ["DEFTCapture"], swiftSettings: swiftSettings),
    .testTarget(
      name: "NetworkFunctionsTests", dependencies: ["NetworkFunctions", "DEFTWire", "DEFTCore", "TestSupport"],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "EndToEndTests", dependencies: ["deft", "NetworkFunctions", "TestSupport"], swiftSettings: swiftSettings),
    .testTarget(
      name: "BenchTests", dependencies: ["deft", "deft-bench", "deft-bench-ordering"], swiftSettings: swiftSettings),
    .testTarget(name: "HotPathTests", exclude: ["Preload"], swiftSettings: swiftSettings),
  ]
)
