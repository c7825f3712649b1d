import VQKernels

extension Tensor {
  /// The matrix [m, n] with singular values near 1: divided by its Frobenius norm, at least
  /// `epsilon`, then `iterations` times `x = a x + b (x x') x + c (x x')^2 x`, which leaves the
  /// singular vectors. Not recorded, and not interrupted.
  ///
  /// - Throws: `.shape` unless there are two axes, `.memory`.
  package func nearlyOrthogonal(
    coefficients: (Double, Double, Double), iterations: Int, epsilon: Double
  ) throws -> Tensor {
    guard rank == 2 else {
      throw VQError.shape("nearly_orthogonal", [shape], "two axes are required")
    }
    let norm = read { squaredNorm($0, count: count) }.squareRoot()
    var x = try Storage(.float32, count: count)
    scale(storage.floats, x.floats, count: count, by: 1 / Swift.max(norm, epsilon))
    guard count > 0, iterations > 0 else { return Tensor(shape: shape, storage: x) }
    var next = try Storage(.float32, count: count)
    // The Gram matrix of the shorter side: x x' [m, m], or x' x [n, n].
    let (m, n) = (shape[0], shape[1])
    let (isTall, k) = (m > n, Swift.min(m, n))
    let gram = try Storage(.float32, count: k * k)
    let polynomial = try Storage(.float32, count: k * k)
    let (a, b, c) = (Float(coefficients.0), Float(coefficients.1), Float(coefficients.2))
    try completingLoops {
      for _ in 0..<iterations {
        try gemm(
          transposeA: isTall, transposeB: !isTall, m: k, n: k, k: Swift.max(m, n), x.floats, lda: n,
          x.floats, ldb: n, gram.floats, ldc: k)
        polynomial.floats.update(from: gram.floats, count: k * k)
        try gemm(
          m: k, n: k, k: k, alpha: c, gram.floats, lda: k, gram.floats, ldb: k, beta: b,
          polynomial.floats, ldc: k)
        next.floats.update(from: x.floats, count: count)
        let (left, right) = isTall ? (x, polynomial) : (polynomial, x)
        try gemm(
          m: m, n: n, k: k, left.floats, lda: isTall ? n : k, right.floats,
          ldb: isTall ? k : n, beta: a, next.floats, ldc: n)
        swap(&x, &next)
      }
    }
    return Tensor(shape: shape, storage: x)
  }
}
