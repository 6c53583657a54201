import CDPDK
import Synchronization

/// Where other threads leave work for an lcore, to be done between two of its rounds: changes of roles and rules. One order
/// at a time; the thread that gives it waits until it was carried out. Costs the lcore one load per round.
@usableFromInline
struct LcoreOrder: @unchecked Sendable {
  /// The order's body, behind a C function pointer so that nothing of it is part of the loop.
  @usableFromInline
  struct Call {
    @usableFromInline var function: @convention(c) (UnsafeMutableRawPointer) -> Void
    @usableFromInline var argument: UnsafeMutableRawPointer
  }
  /// 0, or the address of a `Call`. Cleared by the lcore when it is done.
  @usableFromInline let word: UnsafeMutablePointer<Atomic<UInt>>
  private static var spins: Int { 512 }

  init() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    word = memory.bindMemory(to: Atomic<UInt>.self, capacity: 1)
    word.initialize(to: Atomic(0))
  }

  /// Called by the lcore in every round.
  @inlinable @inline(__always)
  func obey() {
    if _slowPath(word.pointee.load(ordering: .relaxed) != 0) { carryOut() }
  }

  @inline(never) @usableFromInline
  func carryOut() {
    let address = word.pointee.load(ordering: .acquiring)
    let call = UnsafePointer<Call>(bitPattern: address).unsafelyUnwrapped
    call.pointee.function(call.pointee.argument)
    word.pointee.store(0, ordering: .releasing)
  }

  /// Called by any thread but the lcore's: has `body` run there and waits for it.
  func give(_ body: @escaping () -> Void) {
    let box = Unmanaged.passRetained(Body(body))
    let call = UnsafeMutablePointer<Call>.allocate(capacity: 1)
    call.initialize(
      to: Call(
        function: { Unmanaged<Body>.fromOpaque($0).takeUnretainedValue().body() }, argument: box.toOpaque()))
    word.pointee.store(UInt(bitPattern: call), ordering: .releasing)
    // A round of the lcore is shorter than going to sleep and being woken, which control threads on this CPU would pay for.
    var looks = 0
    while word.pointee.load(ordering: .acquiring) != 0 {
      looks += 1
      if looks < Self.spins { cd_pause() } else { cd_sleep_us(20) }
    }
    call.deallocate()
    box.release()
  }

  private final class Body {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }
}
