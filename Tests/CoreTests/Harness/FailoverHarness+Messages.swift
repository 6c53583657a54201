import DEFTWire

@testable import DEFTCore

// What happens to messages.
extension FailoverHarness {
  func closeBatch(dry: Bool, _ host: Host? = nil) {
    _ = (host ?? primary).primary!.pointee.closeBatchIfDue(inputIsDry: dry, now: now)
  }

  /// What the primary has published reaches the secondary's mailbox.
  func sendToSecondary(commit: Bool) -> Bool {
    guard let secondary, let book = commit ? primary.commits : primary.prepares, let bytes = book.read() else {
      return false
    }
    secondary.mail.append(bytes)
    return true
  }

  func deliverMail() -> Bool {
    guard let host = secondary, !host.mail.isEmpty else { return false }
    let bytes = host.mail.removeFirst()
    bytes.withUnsafeBytes { host.secondary!.pointee.receive($0) }
    require(host.secondary!.pointee.counters.impossibleMessages == 0, "the secondary refuses a message")
    return true
  }

  func vote() {
    guard let host = secondary else { return }
    _ = host.secondary!.pointee.vote()
  }

  /// The secondary's lcore tells the primary what is new.
  func tell() {
    guard let host = secondary else { return }
    let news = (voted: host.secondary!.pointee.votedBatch, applied: host.secondary!.pointee.appliedBatch)
    if host.told != news {
      host.told = news
      primary.mail.append(
        answer(.vote, batch: news.voted, applied: news.applied, epoch: host.secondary!.pointee.configuration.epoch))
    }
  }

  /// News of a snapshot go the way of votes.
  func tellSynced() {
    guard let host = secondary, host.secondary!.pointee.syncedIsDue else { return }
    var bytes = [UInt8](repeating: 0, count: ControlMessageHeader.byteCount)
    bytes.withUnsafeMutableBytes { host.secondary!.pointee.writeSynced(to: $0.baseAddress!) }
    primary.mail.append(bytes)
  }

  /// `next` of a prepare's entries.
  func clockNext(_ bytes: [UInt8]) -> [UInt32] {
    bytes.withUnsafeBytes { buffer in
      (0..<Int(ControlMessageHeader(reading: buffer.baseAddress!).count)).map {
        ClockEntry(reading: buffer.baseAddress! + ControlMessageHeader.byteCount + $0 * ClockEntry.byteCount).next
      }
    }
  }

  func answer(_ kind: ControlMessageHeader.Kind, batch: UInt64, applied: UInt64, epoch: UInt32) -> [UInt8] {
    let length = ControlMessageHeader.byteCount + 8
    var bytes = [UInt8](repeating: 0, count: length)
    bytes.withUnsafeMutableBytes {
      ControlMessageHeader(
        kind: kind, pair: options.replication.pair, epoch: epoch, batch: batch, length: length
      ).write(to: $0.baseAddress!)
      ($0.baseAddress! + ControlMessageHeader.byteCount).storeBytes(of: applied.littleEndian, as: UInt64.self)
    }
    return bytes
  }

  func deliverToPrimaryNode(_ host: Host? = nil) -> Bool {
    let host = host ?? primary
    guard !host.mail.isEmpty else { return false }
    let bytes = host.mail.removeFirst()
    _ = bytes.withUnsafeBytes { host.primary!.pointee.receive($0) }
    require(host.primary!.pointee.counters.impossibleMessages == 0, "the primary refuses a message")
    return true
  }
}
