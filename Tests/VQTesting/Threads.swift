import Foundation
import Testing
import VQKernels
import VQTensor

private let changing = NSRecursiveLock()

/// Runs `body` with `count` threads. Tests run beside one another: those that set the number take
/// turns.
public func withThreads<Result>(_ count: Int, _ body: () throws -> Result) rethrows -> Result {
  changing.lock()
  defer { changing.unlock() }
  let before = threadCount
  threadCount = count
  defer { threadCount = before }
  return try body()
}

/// Runs `body` on one thread and on four, and expects the same bits.
public func expectThreadIndependent(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> [Tensor]
) throws {
  let single = try withThreads(1, body).map(\.bits)
  let team = try withThreads(4, body).map(\.bits)
  #expect(team == single, sourceLocation: sourceLocation)
}

/// The same for one tensor.
public func expectThreadIndependent(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Tensor
) throws {
  try expectThreadIndependent(sourceLocation: sourceLocation) { [try body()] }
}

extension Tensor {
  /// The elements' bit patterns.
  public var bits: [UInt32] {
    dtype == .float32 ? values.map(\.bitPattern) : codes.map(UInt32.init(bitPattern:))
  }
}
