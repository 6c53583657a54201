/// Datagrams to and fro; those of a fragmenting flow are often longer than a frame.
struct UDPConversation {
  /// The next frame: a whole datagram, or one fragment.
  struct Piece {
    var fromInitiator: Bool
    /// Counts the flow's datagrams; all fragments of one share it.
    var datagram: UInt32
    /// UDP payload of the whole datagram, in bytes.
    var payloadLength: Int
    /// Bytes of the datagram, UDP header included, in front of this piece; nil if it is not fragmented.
    var fragmentOffset: Int?
    /// Bytes of the datagram in this piece, UDP header included.
    var length: Int
    var more: Bool
  }

  private let fragmenting: Bool
  private let answered: Bool
  private var datagram: UInt32 = 0
  private var fromInitiator = true
  /// Of the datagram under way: its length and that of its pieces but the last, UDP header included; 0: none is.
  private var total: UInt16 = 0
  private var pieceLength: UInt16 = 0
  private var sent: UInt16 = 0

  init(fragmenting: Bool, answered: Bool) {
    self.fragmenting = fragmenting
    self.answered = answered
  }

  /// Fragments of one datagram follow each other at once.
  var isMidway: Bool { total != 0 }

  /// - Parameters: as for `TCPConversation.next`; `headerLength` without the IPv6 fragment header, whose length is
  ///   `fragmentHeaderLength`.
  mutating func next(
    left: Int, headerLength: Int, fragmentHeaderLength: Int, sizes: inout SizeMix, random: inout SeededGenerator
  ) -> Piece {
    precondition(left > 0)
    if total == 0 {
      if datagram > 0, answered { fromInitiator = random.chance(1, of: 2) }
      // The first datagram of a fragmenting flow is fragmented if the packets suffice, later ones every other time.
      guard fragmenting, left >= 2, datagram == 0 || random.chance(1, of: 2) else {
        let length = 8 + max(8, sizes.any(&random).rawValue - headerLength - 8)
        defer { datagram &+= 1 }
        return Piece(
          fromInitiator: fromInitiator, datagram: datagram, payloadLength: length - 8, fragmentOffset: nil,
          length: length,
          more: false)
      }
      begin(left: left, headerLength: headerLength + fragmentHeaderLength, &sizes, &random)
    }
    let length = min(pieceLength, total - sent)
    let piece = Piece(
      fromInitiator: fromInitiator, datagram: datagram, payloadLength: Int(total) - 8, fragmentOffset: Int(sent),
      length: Int(length), more: sent + length < total)
    sent += length
    if sent == total {
      total = 0
      datagram &+= 1
    }
    return piece
  }

  /// Two or three pieces; all but the last have the same length, a multiple of 8.
  private mutating func begin(
    left: Int, headerLength: Int, _ sizes: inout SizeMix, _ random: inout SeededGenerator
  ) {
    let pieces = left >= 3 && random.chance(1, of: 3) ? 3 : 2
    let full = (sizes.notSmall(&random).rawValue - headerLength) & ~7
    let last = max(8, min(full, sizes.any(&random).rawValue - headerLength))
    pieceLength = UInt16(full)
    total = UInt16(full * (pieces - 1) + last)
    sent = 0
  }
}
