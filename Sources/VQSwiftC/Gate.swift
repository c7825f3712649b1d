import CPlatform
import VQTensor

/// Lets one thread at a time to what a handle stands for.
final class Gate {
  private let busy = UnsafeMutablePointer<vq_atomic>.allocate(capacity: 1)

  init() { busy.initialize(to: vq_atomic(value: 0)) }

  deinit { busy.deallocate() }

  /// Runs `body`; throws when another thread is inside.
  func enter<Result>(
    _ operation: String, _ kind: String, _ body: () throws -> Result
  ) throws -> Result {
    guard vq_atomic_try_take(busy) else {
      throw VQError.misuse(
        operation, "another thread is using this \(kind): one handle, one thread at a time")
    }
    defer { vq_atomic_release(busy) }
    return try body()
  }
}
