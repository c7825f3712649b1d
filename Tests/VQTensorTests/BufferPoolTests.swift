import Testing

@testable import VQTensor

@Suite struct BufferPoolTests {
  @Test func aStepTakesWhatTheLastOneGave() throws {
    let pool = BufferPool(slack: 0)
    func step() throws -> Set<UnsafeMutableRawPointer?> {
      let buffers = try (0..<8).map { _ in try pool.take(1024) }
      for buffer in buffers { pool.give(buffer) }
      return Set(buffers.map(\.baseAddress))
    }
    #expect(try step() == step())
    #expect(pool.idleBytes == 8 * 1024)
  }

  @Test func otherSizesDoNotAddUp() throws {
    let pool = BufferPool(slack: 1024)
    for bytes in [4096, 2048, 3072, 1024] {
      pool.give(try pool.take(bytes))
      #expect(pool.idleBytes <= 4096 + 1024)
    }
  }

  @Test func largeBuffersServeSizesThatAreNotMuchSmaller() throws {
    let pool = BufferPool()
    let megabyte = 1 << 20
    let large = try pool.take(3 * megabyte)
    pool.give(large)
    #expect(try pool.take(megabyte).baseAddress != large.baseAddress)
    let smaller = try pool.take(2 * megabyte)
    #expect(smaller.baseAddress == large.baseAddress && smaller.count == 3 * megabyte)
    #expect(pool.idleBytes == 0)
    pool.give(smaller)
    #expect(try pool.take(3 * megabyte).baseAddress == large.baseAddress)
    pool.give(try pool.take(3 << 10))
    #expect(try pool.take(2 << 10).count == 2 << 10)
  }

  @Test func idleBuffersAreLimited() throws {
    let pool = BufferPool(idleLimit: 1024)
    let buffers = try (0..<3).map { _ in try pool.take(512) }
    for buffer in buffers { pool.give(buffer) }
    #expect(pool.idleBytes == 1024)
  }

  @Test func nothingIsKeptAfterAShortage() throws {
    let pool = BufferPool()
    let buffer = try pool.take(1024)
    #expect(throws: VQError.self) { try pool.take(1 << 46) }
    pool.give(buffer)
    #expect(pool.idleBytes == 0)
    pool.give(try pool.take(1024))
    #expect(pool.idleBytes == 1024)
    #expect(pool.freeIdle())
    #expect(pool.idleBytes == 0 && !pool.freeIdle())
  }
}
