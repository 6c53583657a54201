import Foundation

/// A directory of its own for a test; removed with everything in it at the end.
final class WorkDirectory {
  /// What the commands run in.
  let folder: URL
  /// What they print, apart, so that the folder shows only what they write.
  let logs: URL
  private let root: URL

  init() throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("deft-e2e-" + UUID().uuidString)
    self.root = root
    folder = root.appendingPathComponent("work")
    logs = root.appendingPathComponent("logs")
    for directory in [folder, logs] {
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
  func url(_ name: String) -> URL { folder.appendingPathComponent(name) }
  func write(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: url(name)) }
  func makeDirectory(_ name: String) throws {
    try FileManager.default.createDirectory(at: url(name), withIntermediateDirectories: true)
  }

  /// Everything in the folder, hidden files too.
  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted() }
}
