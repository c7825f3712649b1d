import VQKernels

/// Where the rows of a head stand in a tensor [batches, length, ...]: `width` features of each head
/// side by side from `offset` on, rows `stride` apart.
struct HeadRows {
  let length, width, heads: Int
  var offset = 0
  var stride: Int

  init(length: Int, width: Int, heads: Int) {
    (self.length, self.width, self.heads) = (length, width, heads)
    stride = heads * width
  }

  /// The first element of a row of unit `batch * heads + head`.
  func start(_ unit: Int, row: Int = 0) -> Int {
    let (batch, head) = unit.quotientAndRemainder(dividingBy: heads)
    return offset + (batch * length + row) * stride + head * width
  }

  /// The same rows with nothing between those of the heads.
  var dense: HeadRows { HeadRows(length: length, width: width, heads: heads) }
}

/// Scaled dot-product attention of some heads, a block of queries at a time.
struct AttentionPlan {
  /// Attentions of one head each.
  let units: Int
  let query, key, value: HeadRows
  let isCausal: Bool
  let scale: Float
  /// Of the mask's axes before the last one, [leading..., heads, queries].
  let maskShape, maskStrides: [Int]

  var result: HeadRows { HeadRows(length: query.length, width: value.width, heads: value.heads) }

  /// Scores that a thread holds, in floats: half of a common second-level cache.
  private static let budget = 1 << 16

  var rowsPerBlock: Int { max(16, min(128, Self.budget / max(key.length, 1))) }
  var blocks: Int { (query.length + rowsPerBlock - 1) / rowsPerBlock }
  /// Shares of the blocks whose gradients of keys and values are summed apart: few heads are not
  /// enough for the threads.
  var parts: Int { max(1, min(blocks, 16 / max(units, 1))) }
  var scratch: Int { rowsPerBlock * key.length }

  /// The rows of a block, and how many keys they see.
  func block(_ index: Int) -> (rows: Range<Int>, keys: Int) {
    let first = index * rowsPerBlock
    let last = min(query.length, first + rowsPerBlock)
    return (first..<last, isCausal ? min(key.length, last) : key.length)
  }

  /// The mask's row of a query.
  private func maskRow(_ unit: Int, _ row: Int) -> Int {
    var (rest, offset) = (unit * query.length + row, 0)
    for axis in maskShape.indices.reversed() {
      offset += rest % maskShape[axis] * maskStrides[axis]
      rest /= maskShape[axis]
    }
    return offset
  }

  private func scores(_ unit: Int, _ block: Int, _ mask: Tensor?) -> AttentionScores {
    let (rows, keys) = self.block(block)
    return AttentionScores(
      rows: rows.count, columns: keys, causalStart: isCausal ? rows.lowerBound : nil,
      bias: mask.map { UnsafePointer($0.storage.floats + maskRow(unit, rows.lowerBound)) },
      biasStride: maskStrides.last ?? 0)
  }

  /// `scale q k^T` of a block.
  private func multiplyKeys(
    _ unit: Int, _ block: Int, _ q: Tensor, _ k: Tensor,
    _ scores: UnsafeMutablePointer<Float>
  ) throws {
    let (rows, seen) = self.block(block)
    try multiply(
      transposeB: true, m: rows.count, n: seen, k: query.width, alpha: scale,
      q.storage.floats + query.start(unit, row: rows.lowerBound), lda: query.stride,
      k.storage.floats + key.start(unit), ldb: key.stride, scores, ldc: seen)
  }

  func attend(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ mask: Tensor?, _ logSums: Storage,
    _ out: UnsafeMutablePointer<Float>
  ) throws {
    let slots = try ThreadBuffers(slots: threadCount, floats: scratch + rowsPerBlock)
    try parallelForEach(units * blocks) { index in
      let (unit, block) = index.quotientAndRemainder(dividingBy: blocks)
      let (rows, seen) = self.block(block)
      let target = out + result.start(unit, row: rows.lowerBound)
      try slots.borrow { scores in
        let shares = scores + scratch
        try callingLibrary { try multiplyKeys(unit, block, q, k, scores) }
        self.scores(unit, block, mask).exponentiate(
          scores, logSums: logSums.floats + unit * query.length + rows.lowerBound, shares: shares)
        try callingLibrary {
          try multiply(
            m: rows.count, n: value.width, k: seen, scores, lda: seen,
            v.storage.floats + value.start(unit), ldb: value.stride, target, ldc: result.stride)
        }
        scaleRows(
          target, count: rows.count, columns: value.width, stride: result.stride, by: shares)
      }
    }
  }

  /// Gradients of queries, keys and values into tensors of their shapes.
  ///
  /// A part of a head's blocks is one thread's; the parts' sums are added in order, so that the
  /// result does not depend on the threads.
  func differentiate(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ mask: Tensor?, _ logSums: Storage, _ g: Tensor,
    _ dq: UnsafeMutablePointer<Float>, _ dk: UnsafeMutablePointer<Float>,
    _ dv: UnsafeMutablePointer<Float>
  ) throws {
    let sums = (
      try PartialRows(key, units: units, parts: parts, into: dk),
      try PartialRows(value, units: units, parts: parts, into: dv)
    )
    let slots = try ThreadBuffers(slots: threadCount, floats: 2 * scratch)
    try parallelForEach(units * parts) { index in
      let (unit, part) = index.quotientAndRemainder(dividingBy: parts)
      sums.0.clear(unit, part)
      sums.1.clear(unit, part)
      try slots.borrow { scratch in
        for block in part * blocks / parts..<(part + 1) * blocks / parts {
          try differentiate(
            unit, block, q, k, v, mask, logSums, g, dq, sums.0.at(unit, part), sums.0.rows.stride,
            sums.1.at(unit, part), sums.1.rows.stride, scratch)
        }
      }
    }
    try sums.0.add()
    try sums.1.add()
  }

  private func differentiate(
    _ unit: Int, _ block: Int, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ mask: Tensor?,
    _ logSums: Storage, _ g: Tensor, _ dq: UnsafeMutablePointer<Float>,
    _ dk: UnsafeMutablePointer<Float>, _ keyStride: Int, _ dv: UnsafeMutablePointer<Float>,
    _ valueStride: Int, _ shares: UnsafeMutablePointer<Float>
  ) throws {
    let (rows, seen) = self.block(block)
    let start = query.start(unit, row: rows.lowerBound)
    let result = g.storage.floats + self.result.start(unit, row: rows.lowerBound)
    let gradient = shares + scratch
    try callingLibrary {
      try multiplyKeys(unit, block, q, k, shares)
      try multiply(
        transposeB: true, m: rows.count, n: seen, k: value.width, result, lda: self.result.stride,
        v.storage.floats + value.start(unit), ldb: value.stride, gradient, ldc: seen)
    }
    scores(unit, block, mask).differentiate(
      shares, logSums: logSums.floats + unit * query.length + rows.lowerBound, gradient)
    try callingLibrary {
      try multiply(
        transposeA: true, m: seen, n: value.width, k: rows.count, shares, lda: seen, result,
        ldb: self.result.stride, beta: 1, dv, ldc: valueStride)
      try multiply(
        m: rows.count, n: query.width, k: seen, alpha: scale, gradient, lda: seen,
        k.storage.floats + key.start(unit), ldb: key.stride, dq + start, ldc: query.stride)
      try multiply(
        transposeA: true, m: seen, n: query.width, k: rows.count, alpha: scale, gradient,
        lda: seen, q.storage.floats + start, ldb: query.stride, beta: 1, dk, ldc: keyStride)
    }
  }
}

/// Gradients of the rows of heads in several parts, or at their place where there is one.
private struct PartialRows {
  let rows: HeadRows
  private let target: HeadRows
  private let out: UnsafeMutablePointer<Float>
  private let storage: Storage?
  private let parts, size: Int

  init(_ target: HeadRows, units: Int, parts: Int, into out: UnsafeMutablePointer<Float>) throws {
    (self.target, self.out, self.parts) = (target, out, parts)
    rows = parts == 1 ? target : target.dense
    size = units * target.length * target.width
    storage = parts == 1 ? nil : try Storage(.float32, count: parts * size)
  }

  func at(_ unit: Int, _ part: Int) -> UnsafeMutablePointer<Float> {
    (storage.map { $0.floats + part * size } ?? out) + rows.start(unit)
  }

  /// Zeros to add to.
  func clear(_ unit: Int, _ part: Int) {
    let first = at(unit, part)
    for row in 0..<rows.length {
      (first + row * rows.stride).update(repeating: 0, count: rows.width)
    }
  }

  /// Adds the parts, in order, where there are several.
  func add() throws {
    guard let storage else { return }
    let sum = try Storage(.float32, count: size)
    sumParts(storage.floats, count: parts, size: size, sum.floats)
    let width = rows.stride
    for row in 0..<size / max(width, 1) {
      (out + target.offset + row * target.stride).update(
        from: sum.floats + row * width, count: width)
    }
  }
}
