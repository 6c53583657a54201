import DEFTSimulator
import Foundation
import Testing

/// Directed runs, each a text file that cites what it shows.
@Suite struct ScenarioTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Scenarios")
  static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter {
    $0.hasSuffix(".txt")
  }.sorted()

  @Test(arguments: names) func scenario(name: String) throws {
    let text = try String(contentsOf: Self.folder.appendingPathComponent(name), encoding: .utf8)
    let problem = Scenario.run(text)
    #expect(problem == nil, "\(name), \(problem ?? "")")
  }

  @Test func thereAreScenarios() { #expect(Self.names.count >= 10) }

  @Test func aScenarioThatIsNotSoFails() {
    #expect(Scenario.run("stamp f1\nexpect egress f1 1")?.hasPrefix("line 2") == true)
    #expect(Scenario.run("jump")?.contains("no such command") == true)
  }
}
