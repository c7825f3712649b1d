import CPlatform
import VQKernels

/// Buffers that threads borrow for the length of a chunk.
final class ThreadBuffers {
  private let storage: Storage
  private let size: Int
  private let slots: Int
  private let flags: UnsafeMutablePointer<vq_atomic>

  init(slots: Int, floats: Int) throws {
    let (count, overflow) = slots.multipliedReportingOverflow(by: floats)
    guard !overflow else { throw VQError.overflow("allocate", [slots, floats]) }
    storage = try Storage(.float32, count: count)
    size = floats
    self.slots = slots
    flags = .allocate(capacity: slots)
    flags.initialize(repeating: vq_atomic(value: 0), count: slots)
  }

  deinit { flags.deallocate() }

  func borrow(_ body: (UnsafeMutablePointer<Float>) throws -> Void) rethrows {
    var slot = 0
    while !vq_atomic_try_take(flags + slot) { slot = (slot + 1) % slots }
    defer { vq_atomic_release(flags + slot) }
    try body(storage.floats + slot * size)
  }
}
