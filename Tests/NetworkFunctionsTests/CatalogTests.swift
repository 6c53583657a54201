import Testing

@testable import NetworkFunctions

@Suite struct CatalogTests {
  @Test func namesAgreeWithTheTypes() {
    #expect(NetworkFunctionKind.allCases.map(\.rawValue) == [Monitor.name, Firewall.name])
  }

  @Test(arguments: NetworkFunctionKind.allCases)
  func isPrintable(kind: NetworkFunctionKind) {
    #expect(!kind.summary.isEmpty)
    #expect(!kind.summary.contains("\n"))
    #expect(kind.stateByteCount == (kind == .monitor ? 40 : 16))
    #expect(kind.options.allSatisfy { $0.hasPrefix("--") && !$0.contains("\n") })
  }
}
