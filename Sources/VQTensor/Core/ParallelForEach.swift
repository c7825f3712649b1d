import CPlatform
import VQKernels

/// Calls `body` with each of `0..<count` on the threads as they come; throws the first error after
/// the last call.
func parallelForEach(_ count: Int, _ body: (Int) throws -> Void) throws {
  let failure = FirstError()
  parallelFor(count, grain: 1) { range in
    for index in range { failure.catching { try body(index) } }
  }
  if let error = failure.error { throw error }
}

/// Keeps the first error of a parallel loop.
private final class FirstError {
  private let taken: UnsafeMutablePointer<vq_atomic>
  private(set) var error: (any Error)?

  init() {
    taken = .allocate(capacity: 1)
    taken.initialize(to: vq_atomic(value: 0))
  }

  deinit { taken.deallocate() }

  func catching(_ body: () throws -> Void) {
    do {
      try body()
    } catch {
      if vq_atomic_try_take(taken) { self.error = error }
    }
  }
}
