import CPlatform
import VQTensor

/// What a handle stands for; it lets one thread at a time to it.
final class Box<Content> {
  let content: Content
  private let kind: String
  private let busy = UnsafeMutablePointer<vq_atomic>.allocate(capacity: 1)

  init(_ content: Content, _ kind: String) {
    (self.content, self.kind) = (content, kind)
    busy.initialize(to: vq_atomic(value: 0))
  }

  deinit { busy.deallocate() }

  /// Runs `body`; throws when another thread is inside.
  func enter<Result>(_ operation: String, _ body: (Content) throws -> Result) throws -> Result {
    guard vq_atomic_try_take(busy) else {
      throw VQError.misuse(
        operation, "another thread is using this \(kind): one handle, one thread at a time")
    }
    defer { vq_atomic_release(busy) }
    return try body(content)
  }
}
