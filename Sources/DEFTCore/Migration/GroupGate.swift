import DEFTWire

/// What a replica may do with the packets of one flow group (R11).
///
/// | from | on | to |
/// |---|---|---|
/// | open | primary: the map begins to move the group away | frozen |
/// | open | secondary: the map has moved it away | foreign |
/// | open, foreign | entries come by `move` or `stage` | staged |
/// | frozen | the map has moved it | foreign |
/// | frozen | undone; the pair's epoch changed | thawing |
/// | staged | the map names this pair | thawing |
/// | staged | undone; the pair's epoch changed | foreign |
/// | foreign | the map names this pair (a replica that learnt its states by a snapshot) | thawing |
/// | thawing | none of its packets is kept any more | open |
///
/// Prohibited: packets of a group that is neither open nor thawing go to the NF; the
/// states of a staged group in a digest or a snapshot; frozen or staged to open with packets kept.
@frozen @usableFromInline
enum GroupStanding: UInt8 {
  /// Packets are processed: the group is the pair's, or has never been and none come.
  case open
  /// Packets are kept; the state does not change.
  case frozen
  /// Packets kept are processed as there is room, and so are those that come.
  case thawing
  /// The state is here and inert. Packets that come early are kept (primary) or held as usual (secondary).
  case staged
  /// The group was the pair's and is not any more: packets are kept until they are forwarded (R8).
  case foreign

  /// The replica decides on the group's packets.
  var isProcessed: Bool { self == .open || self == .thawing }
  /// The group's flows are as its entries say, be it that they do not go on now.
  var isOwned: Bool { isProcessed || self == .frozen }
}

/// The standing of every flow group at a replica, and the packets kept because of it, in order of arrival by group.
///
/// Capacity: `capacity` packets in all. Full: the primary's `room` is 0, so its input waits and credit stops the stampers
/// (R17); the secondary's kept packets count against its hold. Hence nothing is refused here.
@usableFromInline
struct GroupGate: ~Copyable {
  let groupCount: Int
  /// Low bits of a flow's index: a table smaller than the groups has none of the upper ones.
  @usableFromInline let groupMask: UInt32
  @usableFromInline let standings: UnsafeMutablePointer<GroupStanding>
  /// The version of the map's entry that was learnt last.
  let versions: UnsafeMutablePointer<UInt32>
  /// Former owners may still have packets of the group: nothing of it is declared lost, or denied.
  let inherits: UnsafeMutablePointer<Bool>
  /// Entries of a group that has left and that still say what they said before, counted from the group's first one; none
  /// else may look at them. They are cleared a few at a time: each lies in a cache line and a page of its own.
  let uncleared: UnsafeMutablePointer<UInt32>
  var unclearedCount = 0
  /// Groups that are not open.
  @usableFromInline private(set) var closedCount = 0
  private(set) var stagedCount = 0

  private struct Node {
    var packet: Packet?
    var next: UInt32
  }
  private let nodes: UnsafeMutablePointer<Node>
  private var freeHead: UInt32 = 0
  /// Nodes never used so far: those behind it are free, too.
  private var usedNodes: UInt32 = 0
  private let lists: UnsafeMutablePointer<(head: UInt32, tail: UInt32, count: UInt32)>
  @usableFromInline let capacity: Int
  /// Packets kept, and those of them that are of foreign groups.
  @usableFromInline private(set) var count = 0
  private(set) var foreignCount = 0
  private(set) var highWater = 0
  /// One burst, as far as it may be processed.
  @usableFromInline let scratch: UnsafeMutablePointer<Packet>
  @usableFromInline static var scratchCapacity: Int { 64 }

  init(groups: Int, layout: FlowIDLayout, capacity: Int, memory: TableMemory) {
    precondition(groups > 0 && groups & (groups - 1) == 0, "flow groups are the low bits of a flow index")
    func table<T>(_ count: Int, _ type: T.Type) -> UnsafeMutablePointer<T> {
      memory(count * MemoryLayout<T>.stride).bindMemory(to: type, capacity: count)
    }
    groupCount = groups
    groupMask = UInt32(groups - 1) & layout.indexMask
    standings = table(groups, GroupStanding.self)
    versions = table(groups, UInt32.self)
    inherits = table(groups, Bool.self)
    uncleared = table(groups, UInt32.self)
    lists = table(groups, (head: UInt32, tail: UInt32, count: UInt32).self)
    // Zeroed memory is a pool of which no node was used yet.
    nodes = table(capacity + 1, Node.self)
    scratch = table(GroupGate.scratchCapacity, Packet.self)
    self.capacity = capacity
  }

  /// Not every group is open: bursts have to be filtered.
  @inlinable @inline(__always)
  var isFiltering: Bool { closedCount != 0 }
  @inlinable @inline(__always)
  func group(_ flowID: UInt32) -> Int { Int(flowID & groupMask) }
  @inlinable @inline(__always)
  func standing(_ flowID: UInt32) -> GroupStanding { standings[group(flowID)] }
  /// The flow's entry says nothing: the group's state is inert, or is another pair's.
  func isInert(_ flowID: UInt32) -> Bool {
    let standing = standing(flowID)
    return standing == .staged || standing == .foreign
  }
  /// Packets of the flow may be here and not in the replica's own tables: at a secondary.
  func keeps(_ flowID: UInt32) -> Bool {
    let standing = standing(flowID)
    return standing == .thawing || standing == .foreign
  }
  /// Packets that there is room for.
  @inlinable @inline(__always)
  var free: Int { capacity - count }
  /// Packets that wait for the group to be processed here; a frozen one's may become a foreign one's.
  var keptCount: Int { count - foreignCount }
  func count(of group: Int) -> Int { Int(lists[group].count) }

  mutating func set(_ group: Int, _ standing: GroupStanding) {
    let before = standings[group]
    closedCount += (standing == .open ? 0 : 1) - (before == .open ? 0 : 1)
    stagedCount += (standing == .staged ? 1 : 0) - (before == .staged ? 1 : 0)
    if before == .foreign { foreignCount -= count(of: group) }
    if standing == .foreign { foreignCount += count(of: group) }
    standings[group] = standing
    precondition(standing != .open || count(of: group) == 0, "a group opens with packets kept")
  }

  /// There is room.
  mutating func append(_ packet: Packet, _ group: Int) {
    var index = freeHead
    if index != 0 {
      freeHead = nodes[Int(index)].next
    } else {
      precondition(Int(usedNodes) < capacity, "more packets kept than there is room for")
      usedNodes += 1
      index = usedNodes
    }
    nodes[Int(index)] = Node(packet: packet, next: 0)
    if lists[group].count == 0 { lists[group].head = index } else { nodes[Int(lists[group].tail)].next = index }
    lists[group].tail = index
    lists[group].count += 1
    count += 1
    if standings[group] == .foreign { foreignCount += 1 }
    highWater = max(highWater, count)
  }

  /// The group's oldest packet; there is one.
  mutating func removeFirst(_ group: Int) -> Packet {
    let index = lists[group].head
    let node = nodes[Int(index)]
    lists[group].head = node.next
    lists[group].count -= 1
    nodes[Int(index)] = Node(packet: nil, next: freeHead)
    freeHead = index
    count -= 1
    if standings[group] == .foreign { foreignCount -= 1 }
    return node.packet.unsafelyUnwrapped
  }

  /// Calls `body` with every packet kept.
  func forEach(_ body: (Packet) -> Void) {
    guard count > 0 else { return }
    for index in 0..<Int(usedNodes) { if let packet = nodes[index + 1].packet { body(packet) } }
  }

  /// The replica may say what it knows of the group: it knows the same entry of the map, and that names its pair.
  func mayReport(_ group: Int, version: UInt32) -> Bool {
    max(1, versions[group]) == version && standings[group].isOwned
  }

  /// As `forEach`, of the groups whose flows are here, and of packets that may be of one of these: nobody has looked at what is
  /// kept (R18).
  func forEachPlausible<State>(_ flows: FlowStateTable<State>, _ body: (Packet) -> Void) {
    forEach { packet in
      let (flowID, counter) = (packet.pointee.flowID, packet.pointee.counter)
      let flow = flows.entry(flowID)
      let next = flow.pointee.flowID == flowID ? flow.pointee.next : Stamp.firstCounter
      if standing(flowID).isOwned, counter.serialDistance(from: next) < counterWindow { body(packet) }
    }
  }

  /// The first counter of `range` of which the packet is kept; its end if none is.
  func firstCounter(in range: PacketRange) -> UInt32 {
    let group = group(range.flowID)
    var end = range.end
    var index = lists[group].count > 0 ? lists[group].head : 0
    while index != 0, let packet = nodes[Int(index)].packet {
      let counter = packet.pointee.counter
      if range.contains(packet.pointee.flowID, counter), counter.isSeriallyBefore(end) { end = counter }
      index = nodes[Int(index)].next
    }
    return end
  }

  /// R8: the next packets of foreign groups, oldest first within each; at most `capacity`.
  mutating func takeForeign(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    var taken = 0
    var group = 0
    while foreignCount > 0, taken < capacity, group < groupCount {
      while standings[group] == .foreign, lists[group].count > 0, taken < capacity {
        packets[taken] = removeFirst(group)
        taken += 1
      }
      group += 1
    }
    return taken
  }

  /// Takes any out, whatever they wait for; only of a replica that is gone.
  mutating func drain(into packets: UnsafeMutablePointer<Packet>, capacity: Int) -> Int {
    var taken = 0
    for group in 0..<groupCount {
      while lists[group].count > 0, taken < capacity {
        packets[taken] = removeFirst(group)
        taken += 1
      }
    }
    return taken
  }
}
