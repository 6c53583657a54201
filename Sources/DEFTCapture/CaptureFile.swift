import CPcap
import Glibc

/// Looks through a capture before it is replayed, so that a bad file is reported as such and not as a silent port.
public enum CaptureFile {
  /// Reads the capture at `path` once, from beginning to end: pcap or pcapng, with µs or ns timestamps.
  /// Holds one packet at a time.
  public static func inspect(_ path: String) throws(CaptureError) -> CaptureSummary {
    let handle = try open(path)
    defer { pcap_close(handle) }

    let type = pcap_datalink(handle)
    guard type == DLT_EN10MB else { throw .linkType(path: path, name: describe(linkType: type)) }

    var summary = CaptureSummary()
    summary.linkType = linkTypeName(type)
    summary.firstTimestamp = .max
    summary.lastTimestamp = .min
    var header: UnsafeMutablePointer<pcap_pkthdr>?
    var data: UnsafePointer<UInt8>?
    while true {
      let result = pcap_next_ex(handle, &header, &data)
      if result == PCAP_ERROR_BREAK { break }  // for a file: its end
      guard result == 1, let record = header?.pointee else {
        let reason = String(cString: pcap_geterr(handle))
        if reason.contains("truncated") { throw .truncated(path: path, packets: summary.packets) }
        throw .damaged(path: path, packets: summary.packets, reason: reason)
      }
      summary.count(record)
    }
    guard summary.packets > 0 else { throw .noPackets(path: path) }
    return summary
  }

  /// Opens `path` for reading; every reason why that cannot be done has an error of its own.
  private static func open(_ path: String) throws(CaptureError) -> OpaquePointer {
    try checkReadable(path)
    // libpcap would take the path "-" for the standard input, so the file is opened here.
    guard let file = fopen(path, "re") else { throw .notReadable(path: path, reason: systemReason(errno)) }

    var magic: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
    let magicLength = withUnsafeMutableBytes(of: &magic) { fread($0.baseAddress, 1, $0.count, file) }
    rewind(file)
    if magicLength == 4, let found = compression(magic) {
      fclose(file)
      throw .compressed(path: path, format: found.format, tool: found.tool)
    }

    let messageCapacity = Int(PCAP_ERRBUF_SIZE)
    let message = UnsafeMutablePointer<CChar>.allocate(capacity: messageCapacity)
    message.initialize(repeating: 0, count: messageCapacity)
    defer { message.deallocate() }
    let precision = UInt32(PCAP_TSTAMP_PRECISION_NANO)
    // On success the handle owns the file; on failure it is still ours.
    guard let handle = pcap_fopen_offline_with_tstamp_precision(file, precision, message) else {
      fclose(file)
      let reason = String(cString: message)
      // With fewer than 4 bytes there is no telling what it was meant to be.
      if reason.contains("truncated"), magicLength == 4 { throw .truncated(path: path, packets: 0) }
      throw .notACapture(path: path, reason: reason)
    }
    return handle
  }

  private static func checkReadable(_ path: String) throws(CaptureError) {
    switch FileStatus(following: path) {
    case .failure(ENOENT), .failure(ENOTDIR): throw .noSuchFile(path: path)
    case .failure(let code): throw .notReadable(path: path, reason: systemReason(code))
    case .found(.directory, _): throw .isDirectory(path: path)
    case .found(.other, _): throw .notRegularFile(path: path)
    case .found(.regular, let size):
      if access(path, R_OK) != 0 { throw .notReadable(path: path, reason: systemReason(errno)) }
      if size == 0 { throw .emptyFile(path: path) }
    }
  }

  /// Captures are often kept compressed; libpcap calls them "unknown file format".
  private static func compression(_ magic: (UInt8, UInt8, UInt8, UInt8)) -> (format: String, tool: String)? {
    switch magic {
    case (0x1f, 0x8b, _, _): ("gzip", "gunzip")
    case (0x28, 0xb5, 0x2f, 0xfd): ("zstd", "unzstd")
    case (0xfd, 0x37, 0x7a, 0x58): ("xz", "unxz")
    case (0x42, 0x5a, 0x68, _): ("bzip2", "bunzip2")
    case (0x04, 0x22, 0x4d, 0x18): ("lz4", "unlz4")
    default: nil
    }
  }

  private static func linkTypeName(_ type: Int32) -> String {
    pcap_datalink_val_to_name(type).map { String(cString: $0) } ?? "DLT \(type)"
  }

  private static func describe(linkType type: Int32) -> String {
    let name = linkTypeName(type)
    guard let description = pcap_datalink_val_to_description(type) else { return name }
    return "\(name) (\(String(cString: description)))"
  }
}

extension CaptureSummary {
  fileprivate mutating func count(_ record: pcap_pkthdr) {
    packets += 1
    bytes += UInt64(record.caplen)
    largestFrame = max(largestFrame, Int(record.caplen))
    if record.caplen < record.len { cutFrames += 1 }
    if record.caplen == 0 { emptyFrames += 1 }
    // A damaged pcapng file can hold any 64-bit time: saturate instead of trapping.
    let seconds = max(-9_000_000_000, min(9_000_000_000, Int64(record.ts.tv_sec)))
    let time = seconds * 1_000_000_000 + Int64(record.ts.tv_usec)  // ns, as asked for in open()
    firstTimestamp = min(firstTimestamp, time)
    lastTimestamp = max(lastTimestamp, time)
  }
}
