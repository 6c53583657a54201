import CDPDK

/// Something to run on an lcore: a closure behind the C function pointer that EAL launches.
@usableFromInline
final class LcoreTask: @unchecked Sendable {
  private let body: () -> Void
  @usableFromInline
  init(_ body: @escaping () -> Void) { self.body = body }

  /// Starts the closure on `lcore`; false if the lcore is busy.
  func launch(on lcore: UInt32) -> Bool {
    cd_lcore_launch(
      lcore,
      { argument in
        Unmanaged<LcoreTask>.fromOpaque(argument!).takeUnretainedValue().body()
        return 0
      }, Unmanaged.passUnretained(self).toOpaque()) == 0
  }
  /// Runs the closure on the calling thread (the main lcore when there is no other).
  func run() { body() }
}
