import Testing

@testable import NetworkFunctions

@Suite struct CIDRTests {
  @Test(arguments: [
    ("10.0.0.0/8", "10.0.0.0/8"),
    ("192.168.1.5/24", "192.168.1.0/24"),  // host bits are cleared
    ("255.255.255.255/0", "0.0.0.0/0"),
    ("192.0.2.1", "192.0.2.1/32"),
    ("192.0.2.129/25", "192.0.2.128/25"),
    ("::/0", "::/0"),
    ("::1", "::1/128"),
    ("2001:db8::/32", "2001:db8::/32"),
    ("2001:DB8:0:0:1:0:0:1/128", "2001:db8::1:0:0:1/128"),
    ("2001:db8:0:1:1:1:1:1/128", "2001:db8:0:1:1:1:1:1/128"),  // a single zero group is no run
    ("fe80::1:2:3:4/10", "fe80::/10"),
    ("1:2:3:4:5:6:7:8/64", "1:2:3:4::/64"),
    ("1:2:3:4:5:6:7:8/65", "1:2:3:4::/65"),
    ("1:2:3:4:f000:6:7:8/65", "1:2:3:4:8000::/65"),
    ("::ffff:192.0.2.1/128", "::ffff:c000:201/128"),
    ("64:ff9b::192.0.2.0/120", "64:ff9b::c000:200/120"),
    ("1:2:3:4:5:6:7::/112", "1:2:3:4:5:6:7:0/112"),
    ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8/128"),
  ])
  func reads(text: String, canonical: String) throws {
    let cidr = try CIDR(text)
    #expect(cidr.description == canonical)
    #expect(try CIDR(canonical) == cidr)
  }

  @Test func keepsValues() throws {
    #expect(try CIDR("172.16.0.0/12").network == .ipv4(0xac10_0000))
    #expect(try CIDR("2001:db8::5/127").network == .ipv6(high: 0x2001_0db8_0000_0000, low: 4))
    #expect(try CIDR("2001:db8::5/127").prefixLength == 127)
    let defaults = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"]
    #expect(Firewall.defaultInside.map(\.description) == defaults)
  }

  @Test(arguments: [
    ("", "the address is missing"),
    ("/8", "the address is missing"),
    ("10.0.0.0/8/8", "more than one '/'"),
    ("10.0.0.0/", "the length after '/' must be 0 to 32, not ''"),
    ("10.0.0.0/33", "the length after '/' must be 0 to 32, not '33'"),
    ("10.0.0.0/-1", "the length after '/' must be 0 to 32, not '-1'"),
    ("10.0.0.0/+8", "the length after '/' must be 0 to 32, not '+8'"),
    ("10.0.0.0/255.0.0.0", "the length after '/' must be 0 to 32, not '255.0.0.0'"),
    ("::/129", "the length after '/' must be 0 to 128, not '129'"),
    ("10.0.0/8", "an IPv4 address has four numbers, '10.0.0' has 3"),
    ("10.0.0.0.0/8", "an IPv4 address has four numbers, '10.0.0.0.0' has 5"),
    ("host/8", "an IPv4 address has four numbers, 'host' has 1"),
    ("10.0.256.0/8", "'256' in the IPv4 address is not a number from 0 to 255"),
    ("10..0.0/8", "'' in the IPv4 address is not a number from 0 to 255"),
    ("10.0.0.x/8", "'x' in the IPv4 address is not a number from 0 to 255"),
    (" 10.0.0.0/8", "' 10' in the IPv4 address is not a number from 0 to 255"),
    ("010.0.0.0/8", "'010' in the IPv4 address has a leading zero"),
    ("1:2:3/64", "an IPv6 address has eight groups, '1:2:3' has 3"),
    ("1:2:3:4:5:6:7:8:9/64", "an IPv6 address has eight groups, '1:2:3:4:5:6:7:8:9' has 9"),
    ("1::2::3/64", "'::' may appear once only"),
    ("1:2:3:4::5:6:7:8/64", "'::' stands for no group: the IPv6 address has eight already"),
    (":1:2:3:4:5:6:7/64", "'' in the IPv6 address is not one to four hexadecimal digits"),
    (":::/64", "'' in the IPv6 address is not one to four hexadecimal digits"),
    ("12345::/64", "'12345' in the IPv6 address is not one to four hexadecimal digits"),
    ("fe8g::/64", "'fe8g' in the IPv6 address is not one to four hexadecimal digits"),
    ("192.0.2.1::/64", "'192.0.2.1' in the IPv6 address is not one to four hexadecimal digits"),
    ("::1.2.3/64", "an IPv4 address has four numbers, '1.2.3' has 3"),
    ("fe80::1%eth0/64", "a zone ('%…') names an interface, not a block of addresses"),
  ])
  func refuses(text: String, reason: String) {
    let error = #expect(throws: CIDR.ParseError.self) { try CIDR(text) }
    #expect(error?.description == "bad CIDR '\(text)': \(reason)")
  }

  @Test func tableFindsAddresses() throws {
    let table = InsideTable(try ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "fe80::8000:0:0:0/65"].map(CIDR.init(_:)))
    #expect(table.contains(ipv4: 0x0aff_ffff))
    #expect(!table.contains(ipv4: 0x0b00_0000))
    #expect(table.contains(ipv4: 0xc000_0201))
    #expect(!table.contains(ipv4: 0xc000_0202))
    #expect(table.contains(ipv6: (0x2001_0db8_ffff_ffff, .max)))
    #expect(!table.contains(ipv6: (0x2001_0db9_0000_0000, 0)))
    #expect(table.contains(ipv6: (0xfe80_0000_0000_0000, 0x8000_0000_0000_0001)))
    #expect(!table.contains(ipv6: (0xfe80_0000_0000_0000, 0x7fff_ffff_ffff_ffff)))
    #expect(InsideTable([CIDR(ipv4: 0, prefixLength: 0)]).contains(ipv4: .max))
    #expect(!InsideTable([]).contains(ipv4: 0))
    #expect(!InsideTable([]).contains(ipv6: (0, 0)))
  }
}
