import DEFTWire
import Synchronization

/// The counters of one control thread. Written by that thread only, with plain loads and stores; read by any.
final class ControlCounters: @unchecked Sendable {
  enum Event: Int, CaseIterable {
    case connectionsOpened, connectionsLost, refusalsReceived, refusalsSent, failedDials, inboxFullWaits,
      writabilityWaits
    case wakeUps
  }
  /// Kinds are small numbers; 0 stands for what is none.
  private static let kindCount = 32
  private static let receivedMessages = Event.allCases.count
  private static let receivedBytes = receivedMessages + kindCount
  private static let sentMessages = receivedBytes + kindCount
  private static let sentBytes = sentMessages + kindCount
  private static let bad = sentBytes + kindCount
  private static let slotCount = bad + BadMessage.allCases.count

  private let slots: UnsafeMutablePointer<Atomic<UInt64>>

  init() {
    precondition(ControlMessageHeader.Kind.allCases.allSatisfy { $0.rawValue < ControlCounters.kindCount })
    slots = UnsafeMutableRawPointer.allocate(byteCount: ControlCounters.slotCount * 8, alignment: 128)
      .bindMemory(to: Atomic<UInt64>.self, capacity: ControlCounters.slotCount)
    for index in 0..<ControlCounters.slotCount { (slots + index).initialize(to: Atomic(0)) }
  }

  deinit { slots.deallocate() }

  @inline(__always)
  private func add(_ amount: UInt64, to slot: Int) {
    slots[slot].store(slots[slot].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }
  private func value(_ slot: Int) -> UInt64 { slots[slot].load(ordering: .relaxed) }

  func count(_ event: Event) { add(1, to: event.rawValue) }
  func count(_ bad: BadMessage) { add(1, to: ControlCounters.bad + bad.rawValue) }

  @inline(__always)
  func received(_ kind: UInt8, byteCount: Int) {
    let index = Int(kind) & (ControlCounters.kindCount - 1)
    add(1, to: ControlCounters.receivedMessages + index)
    add(UInt64(byteCount), to: ControlCounters.receivedBytes + index)
  }
  @inline(__always)
  func sent(_ kind: UInt8, byteCount: Int) {
    let index = Int(kind) & (ControlCounters.kindCount - 1)
    add(1, to: ControlCounters.sentMessages + index)
    add(UInt64(byteCount), to: ControlCounters.sentBytes + index)
  }

  /// Any thread.
  func value(of event: Event) -> UInt64 { value(event.rawValue) }
  func value(of bad: BadMessage) -> UInt64 { value(ControlCounters.bad + bad.rawValue) }
  func received(_ kind: ControlMessageHeader.Kind) -> ControlStatus.Traffic {
    .init(
      messages: value(ControlCounters.receivedMessages + Int(kind.rawValue)),
      bytes: value(ControlCounters.receivedBytes + Int(kind.rawValue)))
  }
  func sent(_ kind: ControlMessageHeader.Kind) -> ControlStatus.Traffic {
    .init(
      messages: value(ControlCounters.sentMessages + Int(kind.rawValue)),
      bytes: value(ControlCounters.sentBytes + Int(kind.rawValue)))
  }
}
