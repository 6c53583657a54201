import Foundation
import Testing

@testable import DEFTCapture

/// What is in the frames of profile imix.
@Suite struct SampleContentTests {
  let summary: SampleSummary
  let packets: [FrameReader.Packet]

  init() throws {
    let directory = try TemporaryDirectory()
    summary = try SampleGenerator.generate(
      to: directory.file("a"), options: SampleOptions(packets: 6_000, flows: 120, seed: 9))
    let frames = try #require(FrameReader(try directory.read("a"))).frames
    packets = frames.compactMap(FrameReader.parse)
    #expect(packets.count == 6_000)
  }

  @Test func countsPerKind() {
    var counted = SampleSummary.Packets()
    counted.total = packets.count
    counted.tcp = packets.count { $0.protocolNumber == 6 }
    counted.udp = packets.count { $0.protocolNumber == 17 }
    counted.icmp = packets.count { $0.protocolNumber == 1 || $0.protocolNumber == 58 }
    counted.arp = packets.count { $0.etherType == 0x0806 }
    counted.lldp = packets.count { $0.etherType == 0x88cc }
    counted.ipv4Fragments = packets.count { $0.fragment != nil && $0.etherType == 0x0800 }
    counted.ipv6Fragments = packets.count { $0.fragment != nil && $0.etherType == 0x86dd }
    counted.extensionHeaders = packets.count { $0.extensionHeader != nil }
    #expect(counted == summary.packets)
  }

  @Test func flowsPerKind() {
    let ip = packets.filter { $0.protocolNumber >= 0 }
    let flows = { (matches: (FrameReader.Packet) -> Bool) in Set(ip.filter(matches).map(\.flow)).count }
    var counted = SampleSummary.Flows()
    counted.total = flows { _ in true }
    counted.ipv4 = flows { $0.etherType == 0x0800 }
    counted.ipv6 = flows { $0.etherType == 0x86dd }
    counted.tcp = flows { $0.protocolNumber == 6 }
    counted.udp = flows { $0.protocolNumber == 17 }
    counted.icmp = flows { $0.protocolNumber == 1 || $0.protocolNumber == 58 }
    counted.vlan = flows { $0.vlan == [0x8100] }
    counted.qinq = flows { $0.vlan == [0x88a8, 0x8100] }
    counted.fragmented = flows { $0.fragment != nil }
    counted.extensionHeaders = flows { $0.extensionHeader != nil }
    var opened: Set<[[UInt8]]> = []
    for packet in ip where opened.insert(packet.flow).inserted && !packet.isInsideSource { counted.unsolicited += 1 }
    #expect(counted == summary.flows)
  }

  /// With 16 flows or more, something of everything; also in the smallest such capture, for any seed.
  @Test func everyPromisedKind() throws {
    let directory = try TemporaryDirectory()
    for seed: UInt64 in 1...5 {
      let options = SampleOptions(packets: 400, flows: 16, seed: seed)
      _ = try SampleGenerator.generate(to: directory.file("a"), options: options)
      let packets = try #require(FrameReader(try directory.read("a"))).frames.compactMap(FrameReader.parse)
      for protocolNumber in [1, 6, 17, 58] { #expect(packets.contains { $0.protocolNumber == protocolNumber }) }
      for etherType in [0x0800, 0x86dd, 0x0806, 0x88cc] {
        #expect(packets.contains { $0.etherType == etherType })
        if etherType < 0x0806 || etherType == 0x86dd {
          #expect(packets.contains { $0.etherType == etherType && $0.fragment != nil })
          #expect(packets.contains { $0.etherType == etherType && $0.protocolNumber == 6 })
          #expect(packets.contains { $0.etherType == etherType && $0.protocolNumber == 17 })
        }
      }
      for header in [0, 60] { #expect(packets.contains { $0.extensionHeader == header }) }
      for tags in [[0x8100], [0x88a8, 0x8100]] { #expect(packets.contains { $0.vlan == tags }) }
      for flags: UInt8 in [0x02, 0x12, 0x10, 0x18, 0x11, 0x14] {
        #expect(packets.contains { $0.protocolNumber == 6 && $0.transport[13] == flags })
      }
      #expect(packets.contains { $0.protocolNumber == 6 && $0.transport[13] == 2 && !$0.isInsideSource })
    }
  }

  @Test func checksums() {
    #expect(!packets.contains { $0.hasBadHeaderChecksum })
    for packet in packets where packet.protocolNumber >= 0 && packet.fragment == nil {
      #expect(packet.hasGoodChecksum(packet.transport))
      if packet.protocolNumber == 17 { #expect(packet.t16(4) == packet.transport.count && packet.t16(6) != 0) }
    }
  }

  @Test func fragmentsFitTogether() throws {
    var parts: [[UInt8]: [FrameReader.Packet]] = [:]
    for packet in packets {
      guard let fragment = packet.fragment else { continue }
      let id = withUnsafeBytes(of: fragment.identification) { Array($0) }
      parts[packet.source + packet.destination + id, default: []].append(packet)
    }
    #expect(parts.count > 10)
    #expect(parts.values.contains { $0.count == 3 })
    for pieces in parts.values {
      var datagram: [UInt8] = []
      for piece in pieces.sorted(by: { $0.fragment!.offset < $1.fragment!.offset }) {
        let fragment = try #require(piece.fragment)
        #expect(fragment.offset == datagram.count)
        #expect(fragment.more == (piece.transport.count + fragment.offset < Int(pieces[0].t16(4))))
        datagram += piece.transport
      }
      #expect(pieces.count >= 2 && datagram.count == pieces[0].t16(4))
      #expect(pieces[0].hasGoodChecksum(datagram))
    }
  }

  @Test func echoRepliesMatchRequests() {
    var open: [[UInt8]: [UInt8]] = [:]
    for packet in packets where packet.protocolNumber == 1 || packet.protocolNumber == 58 {
      let body = Array(packet.transport[4...])
      switch packet.transport[0] {
      case 8, 128: open[packet.source] = body
      case 0, 129: #expect(open.removeValue(forKey: packet.destination) == body)
      default: Issue.record("ICMP type \(packet.transport[0])")
      }
    }
  }

  @Test func mostFlowsAreOpenedFromInside() {
    for packet in packets where packet.protocolNumber >= 0 {
      let inside = [packet.source, packet.destination].count { $0[0] == ($0.count == 4 ? 10 : 0xfd) }
      #expect(inside == 1)
    }
    var openedInside: [[[UInt8]]: Bool] = [:]
    for packet in packets where packet.protocolNumber >= 0 {
      if openedInside[packet.flow] == nil { openedInside[packet.flow] = packet.isInsideSource }
      // Nobody answers who comes unasked.
      if openedInside[packet.flow] == false { #expect(!packet.isInsideSource) }
    }
    #expect(openedInside.values.count { !$0 } * 5 < openedInside.count)
  }

  /// Handshake, sequence and acknowledgment numbers, teardown: every byte once and in order, nothing after the end.
  @Test func connections() throws {
    struct Connection {
      var segments = 0
      var next: [Bool: UInt32] = [:]
      var fins: Set<Bool> = []
      var closer: Bool?
      var reset = false
      var bothWays = false
    }
    var connections: [[[UInt8]]: Connection] = [:]
    for packet in packets where packet.protocolNumber == 6 {
      var connection = connections[packet.flow, default: Connection()]
      let side = packet.isInsideSource
      let flags = packet.transport[13]
      let sequence = packet.t32(4)
      let payload = packet.transport.count - Int(packet.transport[12] >> 4) * 4
      #expect(!connection.reset)
      switch connection.segments {
      case 0: #expect(flags == 0x02)
      case 1 where side == (connection.next[true] != nil): #expect(flags == 0x02)  // unanswered: the SYN again
      case 1: #expect(flags == 0x12)
      case 2 where connection.bothWays: #expect(flags == 0x10)
      default: #expect(flags == 0x02 ? !connection.bothWays : connection.bothWays)
      }
      if flags == 0x02 {
        #expect(connection.segments == 0 || connection.next[side] == sequence &+ 1)
      } else {
        connection.bothWays = true
        #expect(connection.next[side, default: sequence] == sequence)
        #expect(packet.t32(8) == connection.next[!side])
      }
      #expect(payload == 0 || (!connection.fins.contains(side) && flags == 0x18))
      if connection.fins.count == 2 { #expect(side == connection.closer && flags == 0x10) }
      if flags & 0x01 != 0 {
        #expect(connection.fins.insert(side).inserted)
        connection.closer = connection.closer ?? side
      }
      connection.reset = flags & 0x04 != 0
      connection.next[side] = sequence &+ UInt32(payload) &+ (flags & 0x03 != 0 ? 1 : 0)
      connection.segments += 1
      connections[packet.flow] = connection
    }
    #expect(connections.values.contains { $0.fins.count == 2 } && connections.values.contains { $0.reset })
    #expect(connections.values.contains { $0.bothWays && !$0.reset && $0.fins.isEmpty })
    #expect(!connections.values.contains { $0.fins.count == 1 })
  }
}
