import Glibc

/// A private directory of symbolic links with plain names, because a device argument cannot hold a path with a comma.
public struct DeviceLinks: ~Copyable {
  private let directory: String
  private var links: [String] = []

  /// nil if no directory can be made under `TMPDIR` or /tmp.
  public init?() {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array((base + "/deft.XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { return nil }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A path without special characters for `path` (which need not exist yet).
  public mutating func plainPath(for path: String) -> String {
    var absolute = path
    if !path.hasPrefix("/") {
      guard let current = getcwd(nil, 0) else { return path }
      defer { free(current) }
      absolute = String(cString: current) + "/" + path
    }
    let link = directory + "/\(links.count).pcap"
    guard symlink(absolute, link) == 0 else { return path }
    links.append(link)
    return link
  }

  deinit {
    for link in links { unlink(link) }
    rmdir(directory)
  }
}
