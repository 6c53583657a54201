import Foundation
import Testing

@testable import NetworkFunctions

@Suite struct TCPTransitionsTests {
  typealias Phase = Firewall.Phase
  typealias Segment = TCPTransitions.Segment

  /// One cell of the tables in `TCPTransitions`' comment.
  struct Cell {
    let phase: Phase
    let segment: Segment
    let fromOpener: Bool
    let text: String

    func move(midstream: Bool) -> TCPTransitions.Move {
      var text = self.text
      if text == "–" { return .prohibited }
      if text.hasPrefix("(") {
        guard midstream else { return .prohibited }
        text = String(text.dropFirst().dropLast())
      }
      let opens = text.hasSuffix("!")
      let next = Phase.allCases.first { "\($0)" == (opens ? String(text.dropLast()) : text) }!
      return opens ? .open(next) : .to(next)
    }
  }

  /// Reads the two tables, the opener's first.
  static func documentedCells() throws -> [Cell] {
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Sources/NetworkFunctions/Firewall/TCPTransitions.swift")
    var cells: [Cell] = []
    var tables = 0
    for line in try String(contentsOf: source, encoding: .utf8).split(separator: "\n") where line.hasPrefix("/// | ") {
      let columns = line.dropFirst(4).split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      if columns[0] == "phase" {
        try #require(columns == ["phase", "SYN", "SYN+ACK", "ACK", "FIN", "RST"])
        tables += 1
        continue
      }
      let phase = try #require(Phase.allCases.first { "\($0)" == columns[0] })
      for (segment, text) in zip([Segment.syn, .synAck, .ack, .fin, .rst], columns.dropFirst()) {
        cells.append(Cell(phase: phase, segment: segment, fromOpener: tables == 1, text: text))
      }
    }
    try #require(tables == 2)
    return cells
  }

  @Test func codeAgreesWithItsTable() throws {
    let cells = try TCPTransitionsTests.documentedCells()
    #expect(cells.count == Phase.allCases.count * Segment.allCases.count * 2)
    for cell in cells {
      for midstream in [false, true] {
        let move = TCPTransitions.next(cell.phase, cell.segment, fromOpener: cell.fromOpener, midstream: midstream)
        #expect(move == cell.move(midstream: midstream), "\(cell), midstream: \(midstream)")
      }
    }
  }

  @Test func everyMoveHasATimeout() {
    for phase in Phase.allCases {
      for segment in Segment.allCases {
        for fromOpener in [false, true] {
          switch TCPTransitions.next(phase, segment, fromOpener: fromOpener, midstream: true) {
          case .prohibited: break
          case .to(let next), .open(let next):
            #expect(next != .closed && next != .open)
            #expect(Firewall.Timeout.tcp(next) > 0)
          }
        }
      }
    }
  }

  @Test func onlySegmentsThatATCPSends() {
    // Every combination of FIN 1, SYN 2, RST 4, ACK 16; PSH, URG, ECE and CWR must not matter.
    let legal: [UInt8: Segment] = [2: .syn, 18: .synAck, 16: .ack, 17: .fin, 4: .rst, 20: .rst]
    for flags in UInt8.min...UInt8.max {
      #expect(Segment(flags: flags) == legal[flags & 0b1_0111], "flags \(flags)")
    }
  }
}
