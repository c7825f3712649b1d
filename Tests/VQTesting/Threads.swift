import Foundation
import VQKernels

private let changing = NSRecursiveLock()

/// Runs `body` with `count` threads. Tests run beside one another: those that set the number take turns.
public func withThreads<Result>(_ count: Int, _ body: () throws -> Result) rethrows -> Result {
  changing.lock()
  defer { changing.unlock() }
  let before = threadCount
  threadCount = count
  defer { threadCount = before }
  return try body()
}
