import VQKernels

/// Runs `body` with kernels that keep denormal numbers, which they flush by default.
public func withGradualUnderflow<Result>(_ body: () throws -> Result) rethrows -> Result {
  let scope = GradualUnderflow()
  defer { scope.end() }
  return try body()
}
