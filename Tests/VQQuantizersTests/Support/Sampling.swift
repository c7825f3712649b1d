@testable import VQQuantizers

/// Reproducible values about `mean` with standard deviation `scale`: sums of four uniforms.
func sample(_ shape: [Int], seed: UInt64, mean: Float = 0, scale: Float = 1) throws -> Tensor {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  return try Tensor(
    (0..<shape.reduce(1, *)).map { _ in
      var sum: Float = -2
      for _ in 0..<4 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        sum += Float(state >> 40) / Float(1 << 24)
      }
      return mean + scale * sum * 1.7320508
    }, shape: shape)
}

/// Central differences of `function` at `x`, one element at a time.
func centralDifferences(
  _ x: Tensor, step: Float = 1e-2, of function: (Tensor) throws -> Double
) throws -> [Float] {
  let values = x.values
  return try values.indices.map { index in
    var (high, low) = (values, values)
    high[index] += step
    low[index] -= step
    let rise = try function(Tensor(high, shape: x.shape)) - function(Tensor(low, shape: x.shape))
    return Float(rise / Double(high[index] - low[index]))
  }
}

/// `sum a[i] b[i]` in Float64.
func dot(_ a: Tensor, _ b: Tensor) -> Double {
  zip(a.values, b.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}

/// Whether every |a - b| is at most `tolerance` (1 + |b|).
func isClose(_ a: [Float], _ b: [Float], _ tolerance: Float) -> Bool {
  a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * (1 + abs($1)) }
}

extension Tensor {
  func setValues(_ values: [Float]) {
    mutate { target in for (index, value) in values.enumerated() { target[index] = value } }
  }
}

extension Module {
  /// Copies of everything in the state, as text that compares bit for bit.
  var snapshot: [String] {
    state.map { name, tensor in
      tensor.dtype == .int32
        ? "\(name) \(tensor.codes)" : "\(name) \(tensor.values.map(\.bitPattern))"
    }
  }
}
