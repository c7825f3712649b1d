/// Sixteen elements from any address.
@inline(__always)
func loadVector(_ pointer: UnsafePointer<Float>) -> SIMD16<Float> {
  UnsafeRawPointer(pointer).loadUnaligned(as: SIMD16<Float>.self)
}

/// `sum x[i]^2` in float32, sixteen partial sums.
@inline(__always)
func squaredLength(_ x: UnsafePointer<Float>, count: Int) -> Float {
  var sums = SIMD16<Float>()
  var i = 0
  while i + 16 <= count {
    let vector = loadVector(x + i)
    sums += vector * vector
    i += 16
  }
  var rest: Float = 0
  while i < count {
    rest += x[i] * x[i]
    i += 1
  }
  return sums.sum() + rest
}

/// The index of the first NaN or infinity.
@inline(__always)
func firstNonFinite(_ x: UnsafePointer<Float>, count: Int) -> Int? {
  for i in 0..<count where !x[i].isFinite { return i }
  return nil
}

/// The index of the first NaN or infinity, looked for by all threads.
public func firstNonFiniteElement(_ x: UnsafePointer<Float>, count: Int) -> Int? {
  let chunks = (count + elementGrain - 1) / elementGrain
  var found = [Int](repeating: count, count: chunks)
  found.withUnsafeMutableBufferPointer { found in
    parallelFor(count, grain: elementGrain) { range in
      // x - x is 0 for finite x and NaN otherwise, and NaN stays in a sum.
      var sums = SIMD16<Float>()
      var i = range.lowerBound
      while i + 16 <= range.upperBound {
        let vector = loadVector(x + i)
        sums += vector - vector
        i += 16
      }
      var rest = sums.sum()
      while i < range.upperBound {
        rest += x[i] - x[i]
        i += 1
      }
      if rest != 0, let first = firstNonFinite(x + range.lowerBound, count: range.count) {
        found[range.lowerBound / elementGrain] = range.lowerBound + first
      }
    }
  }
  return found.min().flatMap { $0 < count ? $0 : nil }
}
