import CPlatform

/// Keeps the first error of a parallel loop.
final class FirstError: @unchecked Sendable {
  private let taken: UnsafeMutablePointer<vq_atomic>
  private var error: (any Error)?

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

  /// After the loop.
  func rethrow() throws { if let error { throw error } }
}
