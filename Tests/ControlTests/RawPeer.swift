import Glibc

/// The other end of a control connection as a plain blocking socket, to say what no well-behaved node would.
final class RawPeer {
  private let descriptor: Int32

  private init(_ descriptor: Int32) {
    self.descriptor = descriptor
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }
  deinit { close(descriptor) }

  private static func address(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  /// Connects to a node on loopback.
  static func connect(port: Int) -> RawPeer? {
    let peer = RawPeer(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    var address = address(port)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(peer.descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    return result == 0 ? peer : nil
  }

  /// Listens on loopback; returns the port.
  static func listen() -> (listener: RawPeer, port: Int)? {
    let listener = RawPeer(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    var address = address(0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener.descriptor, $0, length) == 0 && Glibc.listen(listener.descriptor, 8) == 0
          && getsockname(listener.descriptor, $0, &length) == 0
      }
    }
    return isListening ? (listener, Int(UInt16(bigEndian: address.sin_port))) : nil
  }

  /// nil if nobody has connected in time.
  func accept() -> RawPeer? {
    let accepted = Glibc.accept(descriptor, nil, nil)
    return accepted < 0 ? nil : RawPeer(accepted)
  }

  /// False if the other end has closed.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  /// Up to `count` bytes; fewer if the other end closes or nothing comes for seconds.
  func receive(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      let read = bytes[filled...].withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
      guard read > 0 else { break }
      filled += read
    }
    return Array(bytes[..<filled])
  }

  /// True if the other end closes (or resets) within seconds; what still comes is thrown away.
  func isClosedByPeer() -> Bool {
    var byte = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = recv(descriptor, &byte, byte.count, 0)
      if count == 0 { return true }
      if count < 0 { return errno != EAGAIN && errno != EWOULDBLOCK }
    }
  }
}
