/// How often an lcore under load wakes its control thread. Every wake-up costs the control thread's CPU several
/// microseconds, whatever it brings; a lightly loaded pair does not wait.
@usableFromInline
enum DoorbellPacing {
  /// ns between two wake-ups of one pair under load.
  @usableFromInline static var interval: UInt64 { 25_000 }
}
