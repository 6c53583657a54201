import DEFTWire

/// Which messages a connection takes in its present phase.
struct FrameRules {
  /// nil: any (before the pair is known).
  var pair: UInt16?
  /// Bit n: kind n is allowed.
  private var kinds: UInt32
  /// What `detail` of a commit, and of a snapshot's part, must be.
  var stateEntrySize: UInt32

  init(pair: UInt16? = nil, allowing kinds: ControlMessageHeader.Kind..., stateEntrySize: UInt32 = 0) {
    self.pair = pair
    self.kinds = kinds.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
    self.stateEntrySize = stateEntrySize
  }

  func allows(_ kind: UInt8) -> Bool { kind < 32 && kinds & 1 << UInt32(kind) != 0 }

  /// nil: the message may be taken. Looks at the header alone; whoever reads the entries may rely on the lengths.
  @inline(__always)
  func judge(_ header: ControlMessageHeader, longest: Int) -> BadMessage? {
    switch header.defect() {
    case nil: break
    case .length: return .length
    case .kind: return .unknownKind
    case .version:
      // A refusal keeps its layout in all versions, so that the older side can tell why.
      let isRefusal = header.kind == ControlMessageHeader.Kind.refuse.rawValue && allows(header.kind)
      guard isRefusal, header.length == ControlMessageHeader.byteCount else { return .version }
    }
    guard allows(header.kind) else { return .unexpectedKind }
    if let pair, header.pair != pair { return .pair }
    guard header.length <= longest else { return .tooLong }
    let hasStates =
      switch ControlMessageHeader.Kind(rawValue: header.kind) {
      case .commit, .base, .stage: true
      default: false
      }
    if hasStates, header.detail != stateEntrySize { return .stateSize }
    return nil
  }
}
