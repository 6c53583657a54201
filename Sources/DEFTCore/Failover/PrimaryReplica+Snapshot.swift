import DEFTWire

extension PrimaryReplica where Log: ~Copyable {
  mutating func dropSync() {}
  var baseRoom: Int { .max }
}
