import TestSupport
import Testing

/// The program as a user runs it: processes with arguments, files in and files out. One process at a time, because each
/// wants a core for itself.
@Suite("End to end", .serialized)
enum EndToEnd {}

extension Trait where Self == ConditionTrait {
  static var needsCaptures: Self { .enabled(if: !Captures.files.isEmpty, "\(Captures.missing)") }
}
