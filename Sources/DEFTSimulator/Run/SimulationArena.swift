/// Memory for one run's tables, packets and messages: handed out by moving a pointer, zeroed, and taken back all at once. A
/// worker thread has one and uses it for all its runs.
final class SimulationArena {
  private static let chunkBytes = 1 << 20
  private var chunks: [(base: UnsafeMutableRawPointer, size: Int)] = []
  private var current = 0
  private var used = 0

  deinit { for chunk in chunks { chunk.base.deallocate() } }

  func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer { allocate(byteCount, alignment: 64) }

  func allocate(_ byteCount: Int, alignment: Int) -> UnsafeMutableRawPointer {
    while true {
      if current < chunks.count {
        let start = (used + alignment - 1) & ~(alignment - 1)
        if start + byteCount <= chunks[current].size {
          used = start + byteCount
          return chunks[current].base + start
        }
        // What is left of the chunk is zero still.
        current += 1
        used = 0
        continue
      }
      let size = max(SimulationArena.chunkBytes, byteCount)
      let base = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
      base.initializeMemory(as: UInt8.self, repeating: 0, count: size)
      chunks.append((base, size))
    }
  }

  /// Everything that was handed out is void.
  func reset() {
    for index in chunks.indices.prefix(current + 1) {
      let count = index == current ? used : chunks[index].size
      chunks[index].base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }
    current = 0
    used = 0
  }
}
