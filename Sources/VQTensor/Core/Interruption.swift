import VQKernels

/// Runs `body`, whose parallel loops on this thread stop when the host asks for it; throws
/// `.interrupted` then.
///
/// What `body` writes must be dropped where this throws.
package func interruptible(_ operation: String, _ body: () throws -> Void) throws {
  var failure: (any Error)?
  let isWhole = stoppingLoops {
    do { try body() } catch { failure = error }
  }
  // What a stopped body throws comes of unfinished results.
  guard isWhole else { throw VQError.interrupted(operation) }
  if let failure { throw failure }
}
