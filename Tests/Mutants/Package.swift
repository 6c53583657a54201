// swift-tools-version: 6.1
import PackageDescription

// The scratch package of `make mutants`: the core and the simulator alone, so that a changed line costs seconds.
let settings: [SwiftSetting] = [.unsafeFlags(["-cross-module-optimization"], .when(configuration: .release))]
let package = Package(
  name: "mutants",
  targets: [
    .target(name: "DEFTWire", swiftSettings: settings),
    .target(name: "DEFTCore", dependencies: ["DEFTWire"], swiftSettings: settings),
    .target(name: "NetworkFunctions", dependencies: ["DEFTWire", "DEFTCore"], swiftSettings: settings),
    .target(
      name: "DEFTSimulator", dependencies: ["DEFTWire", "DEFTCore", "NetworkFunctions"], swiftSettings: settings),
    .executableTarget(
      name: "simulate", dependencies: ["DEFTCore", "DEFTSimulator"], path: "simulate", swiftSettings: settings),
    .executableTarget(name: "driver", path: "driver"),
  ]
)
