import CPlatform

/// Buffers of one size that threads borrow in turn.
final class ScratchSlots {
  private let base: UnsafeMutablePointer<Float>
  private let count: Int
  private let stride: Int
  private let flags: UnsafeMutablePointer<vq_atomic>

  /// - Parameters:
  ///   - base: [count, stride].
  ///   - count: at least the number of threads, so that none waits.
  init(_ base: UnsafeMutablePointer<Float>, count: Int, stride: Int) {
    (self.base, self.count, self.stride) = (base, count, stride)
    flags = .allocate(capacity: count)
    flags.initialize(repeating: vq_atomic(value: 0), count: count)
  }

  deinit { flags.deallocate() }

  @inline(__always)
  func borrow(_ body: (UnsafeMutablePointer<Float>) -> Void) {
    var slot = 0
    while !vq_atomic_try_take(flags + slot) { slot = slot + 1 < count ? slot + 1 : 0 }
    body(base + slot * stride)
    vq_atomic_release(flags + slot)
  }
}
