import CPlatform
import VQKernels

/// `op(a) op(b)` for every batch: each operand's matrices stand `aStrides`, `bStrides` apart.
private struct BatchedProduct {
  var batch: [Int]
  var m: Int
  var n: Int
  var k: Int
  var transposeA = false
  var transposeB = false
  var aStrides: [Int]
  var bStrides: [Int]
  var outStrides: [Int]
  /// Whether products are added to what is there.
  var adds = false

  /// Products smaller than this run whole on one thread each, several at a time.
  private static let parallelWork = 1 << 18

  /// Calls `multiply` with the first elements of each batch's operands and of its result. With a
  /// `beta` of 1 it adds, as where several batches write the same matrix, which holds zeros.
  private func run(
    _ multiply: (_ a: Int, _ b: Int, _ out: Int, _ beta: Float) throws -> Void
  ) throws {
    let count = batch.reduce(1, *)
    let strides = Shape.strides(batch)
    func offset(_ operand: [Int], _ index: Int) -> Int {
      batch.indices.reduce(0) { $0 + index / strides[$1] % batch[$1] * operand[$1] }
    }
    func product(_ index: Int, beta: Float) throws {
      try multiply(
        offset(aStrides, index), offset(bStrides, index), offset(outStrides, index), beta)
    }
    let shared = zip(batch, outStrides).contains { $0 > 1 && $1 == 0 }
    if shared || count == 1 || m * n * k >= BatchedProduct.parallelWork {
      for index in 0..<count { try product(index, beta: shared || adds ? 1 : 0) }
      return
    }
    let failures = try Storage(.int32, count: count)
    parallelFor(count, grain: Swift.max(1, BatchedProduct.parallelWork / Swift.max(1, m * n * k))) {
      range in
      callingLibrary {
        for index in range {
          failures.ints[index] = 0
          do { try product(index, beta: adds ? 1 : 0) } catch { failures.ints[index] = 1 }
        }
      }
    }
    for index in 0..<count where failures.ints[index] != 0 {
      try product(index, beta: adds ? 1 : 0)
    }
  }

  func run(
    _ a: Tensor, _ b: Tensor, _ result: UnsafeMutablePointer<Float>, _ precision: ProductPrecision
  ) throws {
    let (lda, ldb) = (transposeA ? m : k, transposeB ? k : n)
    #if VQ_ONEDNN
      if precision.isNative(Double(m) * Double(n) * Double(k)) {
        let x = try a.bfloat16Elements("matmul")
        let y = try b.bfloat16Elements("matmul")
        return try withExtendedLifetime((x, y)) {
          try run { a, b, out, beta in
            try gemm(
              .bfloat16, transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k,
              x.halves + a, lda: lda, y.halves + b, ldb: ldb, beta: beta, result + out, ldc: n)
          }
        }
      }
    #endif
    let x = try precision.operand(a, of: "matmul")
    let y = try precision.operand(b, of: "matmul")
    try withExtendedLifetime((x, y)) {
      let (x, y) = (x.storage.floats, y.storage.floats)
      try run { a, b, out, beta in
        try gemm(
          transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, x + a, lda: lda,
          y + b, ldb: ldb, beta: beta, result + out, ldc: n)
      }
    }
  }
}

/// `op(a) op(b)`, batch axes broadcast, summed over the batch axes that `target` lacks or repeats.
private func product(
  _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false, batch: [Int],
  target: [Int], _ precision: ProductPrecision
) throws -> Tensor {
  let (rows, columns) = (a.shape.suffix(2), b.shape.suffix(2))
  let m = transposeA ? rows.last! : rows.first!
  let k = transposeA ? rows.first! : rows.last!
  let n = transposeB ? columns.first! : columns.last!
  func strides(_ shape: [Int]) -> [Int] {
    Array(Shape.broadcastStrides(shape, to: batch + shape.suffix(2)).dropLast(2))
  }
  let plan = BatchedProduct(
    batch: batch, m: m, n: n, k: k, transposeA: transposeA, transposeB: transposeB,
    aStrides: strides(a.shape), bStrides: strides(b.shape), outStrides: strides(target))
  let fresh = k > 0 && target.dropLast(2).reduce(1, *) == batch.reduce(1, *)
  let result = fresh ? try Tensor("matmul", shape: target) { _ in } : try Tensor.zeros(target)
  if k > 0 && m > 0 && n > 0 {
    try interruptible("matmul") {
      try plan.run(a, b, result.storage.floats, precision)
    }
  }
  return result
}

extension Tensor {
  /// The matrix product by NumPy's rules: [..., m, k] and [..., k, n] to [..., m, n] with broadcast
  /// batch axes; a vector stands for a row on the left and a column on the right and its axis goes.
  public func matmul(_ other: Tensor) throws -> Tensor {
    try Tensor.requireFloats("matmul", self, other)
    guard rank >= 1, other.rank >= 1 else {
      throw VQError.shape("matmul", [shape, other.shape], "both must have at least one axis")
    }
    let k = shape[rank - 1]
    let otherK = other.shape[Swift.max(other.rank - 2, 0)]
    guard k == otherK else {
      throw VQError.shape(
        "matmul", [shape, other.shape], "the inner axes must be equal, and \(k) is not \(otherK)")
    }
    if rank == 1 || other.rank == 1 {
      let left = rank == 1 ? try reshape([1, k]) : self
      let right = other.rank == 1 ? try other.reshape([k, 1]) : other
      var target = try left.matrixProduct(right)
      var kept = target.shape
      if other.rank == 1 { kept.removeLast() }
      if rank == 1 { kept.remove(at: kept.count - (other.rank == 1 ? 1 : 2)) }
      target = try target.reshape(kept)
      return target
    }
    // [..., m, k] times one matrix [k, n] is a single product.
    if rank > 2 && other.rank == 2 && k > 0 {
      return try reshape([count / k, k]).matrixProduct(other)
        .reshape(shape.dropLast() + [other.shape[1]])
    }
    return try matrixProduct(other)
  }

  /// The product of operands that have at least two axes each.
  private func matrixProduct(_ other: Tensor) throws -> Tensor {
    let batches = (Array(shape.dropLast(2)), Array(other.shape.dropLast(2)))
    guard let batch = try? Shape.broadcast(batches.0, batches.1, "matmul") else {
      throw VQError.shape(
        "matmul", [shape, other.shape], "the batch axes must be equal or 1 to broadcast")
    }
    let x = Saved(self, where: other.requiresGrad)
    let y = Saved(other, where: requiresGrad)
    let target = batch + [shape[rank - 2], other.shape[other.rank - 1]]
    let precision = ProductPrecision.current
    return try product(self, other, batch: batch, target: target, precision)
      .recorded("matmul", inputs: [self, other]) { [a = shape, b = other.shape] g, _ in
        [
          try y.map {
            try product(
              g, $0.tensor("matmul"), transposeB: true, batch: batch, target: a, precision)
          },
          try x.map {
            try product(
              $0.tensor("matmul"), transposeA: true, g, batch: batch, target: b, precision)
          },
        ]
      }
  }

  /// `x W^T + bias`: [..., in], a weight W [out, in] and a bias [out] to [..., out].
  public func linear(_ weight: Tensor, bias: Tensor? = nil) throws -> Tensor {
    let operation = "linear"
    let operands = [self, weight] + (bias.map { [$0] } ?? [])
    guard operands.allSatisfy({ $0.dtype == .float32 }) else {
      throw VQError.type(operation, operands.map(\.dtype), "float32 is required")
    }
    guard weight.rank == 2 else {
      throw VQError.shape(operation, [weight.shape], "the weight must be [out, in]")
    }
    guard let features = shape.last, features == weight.shape[1] else {
      throw VQError.shape(
        operation, [shape, weight.shape],
        "the input's last axis must have the \(weight.shape[1]) features that the weight expects")
    }
    let outputs = weight.shape[0]
    if let bias, bias.shape != [outputs] {
      throw VQError.shape(operation, [weight.shape, bias.shape], "the bias must be [out]")
    }
    let rows = shape.dropLast().reduce(1, *)
    let x = Saved(self, where: weight.requiresGrad)
    let w = Saved(weight, where: requiresGrad)
    let precision = ProductPrecision.current
    let result = try Tensor(operation, shape: shape.dropLast() + [outputs]) { out in
      if let bias {
        repeatRow(bias.storage.floats, rows: rows, columns: outputs, out)
      } else if features == 0 {
        out.update(repeating: 0, count: rows * outputs)
      }
      if features == 0 { return }
      let plan = BatchedProduct(
        batch: [], m: rows, n: outputs, k: features, transposeB: true, aStrides: [], bStrides: [],
        outStrides: [], adds: bias != nil)
      try plan.run(self, weight, out, precision)
    }
    return result.recorded(operation, inputs: operands) { [shape] gradient, needs in
      let g = try gradient.reshape([rows, outputs])
      var results = [
        try w.map {
          try product(g, $0.tensor(operation), batch: [], target: [rows, features], precision)
            .reshape(shape)
        },
        try x.map {
          let x = try $0.tensor(operation).reshape([rows, features])
          return try product(
            g, transposeA: true, x, batch: [], target: [outputs, features], precision)
        },
      ]
      if needs.count > 2 { results.append(needs[2] ? try g.summed(to: [outputs]) : nil) }
      return results
    }
  }
}
