import VQKernels

extension Shape {
  /// The axes as sorted positions from the front; nil means all.
  static func axes(_ axes: [Int]?, of shape: [Int], _ operation: String) throws -> [Int] {
    guard let axes else { return Array(shape.indices) }
    let positions = try axes.map { try normalize($0, rank: shape.count, operation) }.sorted()
    for (axis, next) in zip(positions, positions.dropFirst()) where axis == next {
      throw VQError.value(operation, "axes", "\(axes)", "axis \(axis) appears twice")
    }
    return positions
  }

  /// `shape` without `axes`, or with size 1 along them.
  static func reduced(_ shape: [Int], over axes: [Int], keepDims: Bool) -> [Int] {
    keepDims
      ? shape.indices.map { axes.contains($0) ? 1 : shape[$0] }
      : shape.indices.filter { !axes.contains($0) }.map { shape[$0] }
  }

  /// Runs of neighboring reduced axes as `[outer, length, inner]`, innermost first; each run is
  /// seen after the ones before it were reduced to size 1.
  static func runs(
    _ shape: [Int], over axes: [Int]
  ) -> [(outer: Int, length: Int, inner: Int)] {
    var runs: [(outer: Int, length: Int, inner: Int)] = []
    var inner = 1
    var axis = shape.count - 1
    while axis >= 0 {
      var length = 1
      while axis >= 0 && axes.contains(axis) {
        length *= shape[axis]
        axis -= 1
      }
      if length != 1 { runs.append((shape[0..<(axis + 1)].reduce(1, *), length, inner)) }
      while axis >= 0 && !axes.contains(axis) {
        inner *= shape[axis]
        axis -= 1
      }
    }
    return runs
  }
}

// MARK: - Sums

extension Tensor {
  /// `scale * sum` over `axes`, not recorded.
  func sumStorage(_ operation: String, over axes: [Int], scale: Double) throws -> Storage {
    var runs = Shape.runs(shape, over: axes)
    if runs.isEmpty {
      if scale == 1 { return storage }
      runs = [(count, 1, 1)]
    }
    var source = storage
    for (index, run) in runs.enumerated() {
      let target = try Storage(.float32, count: run.outer * run.inner)
      sumAxis(
        source.floats, target.floats, outer: run.outer, length: run.length, inner: run.inner,
        scale: index == runs.count - 1 ? scale : 1)
      source = target
    }
    return source
  }

  private func summed(
    _ operation: String, over axes: [Int], keepDims: Bool, scale: Double
  ) throws -> Tensor {
    let kept = Shape.reduced(shape, over: axes, keepDims: true)
    return Tensor.recorded(
      operation, shape: Shape.reduced(shape, over: axes, keepDims: keepDims),
      storage: try sumStorage(operation, over: axes, scale: scale), inputs: [self]
    ) { [shape] g, _ in
      let scaled = scale == 1 ? g : try g * Float(scale)
      return [try scaled.reshape(kept).broadcast(to: shape)]
    }
  }

  /// The sum over `axes`, all by default; 0 of no elements.
  public func sum(axes: [Int]? = nil, keepDims: Bool = false) throws -> Tensor {
    let axes = try Shape.axes(axes, of: shape, "sum")
    if dtype.isInteger { return try integerSum(over: axes, keepDims: keepDims) }
    return try summed("sum", over: axes, keepDims: keepDims, scale: 1)
  }

  /// The mean over `axes`, all by default.
  ///
  /// - Throws: `empty` where an axis has no elements.
  public func mean(axes: [Int]? = nil, keepDims: Bool = false) throws -> Tensor {
    let axes = try Shape.axes(axes, of: shape, "mean")
    let length = try reducedCount("mean", axes)
    if dtype.isInteger {
      return try integerMean(over: axes, keepDims: keepDims, count: length)
    }
    return try summed("mean", over: axes, keepDims: keepDims, scale: 1 / Double(length))
  }

  /// The mean squared deviation from the mean over `axes`, all by default; `unbiased` divides by
  /// one less than the number of elements.
  public func variance(
    axes: [Int]? = nil, keepDims: Bool = false, unbiased: Bool = true
  ) throws -> Tensor {
    try requireFloat("variance")
    let axes = try Shape.axes(axes, of: shape, "variance")
    let divisor = try reducedCount("variance", axes) - (unbiased ? 1 : 0)
    guard divisor > 0 else {
      throw VQError.shape(
        "variance", [shape], "the unbiased estimate needs at least 2 elements along axes \(axes)")
    }
    return try (self - mean(axes: axes, keepDims: true)).square()
      .summed("variance", over: axes, keepDims: keepDims, scale: 1 / Double(divisor))
  }

  /// The number of elements that one result of a reduction sees, at least 1.
  private func reducedCount(_ operation: String, _ axes: [Int]) throws -> Int {
    let length = axes.reduce(1) { $0 * shape[$1] }
    guard length > 0 else {
      throw VQError.empty(operation, shape, "at least one element is required along axes \(axes)")
    }
    return length
  }
}

// MARK: - Extremes

extension Tensor {
  /// The largest element over `axes`, all by default; NaN if there is one. The gradient goes to the
  /// first of equal ones.
  ///
  /// - Throws: `empty` where an axis has no elements.
  public func max(axes: [Int]? = nil, keepDims: Bool = false) throws -> Tensor {
    try extremum("max", largest: true, axes, keepDims)
  }

  /// The smallest element over `axes`, all by default; NaN if there is one. The gradient goes to
  /// the first of equal ones.
  public func min(axes: [Int]? = nil, keepDims: Bool = false) throws -> Tensor {
    try extremum("min", largest: false, axes, keepDims)
  }

  private func extremum(
    _ operation: String, largest: Bool, _ axes: [Int]?, _ keepDims: Bool
  ) throws -> Tensor {
    let axes = try Shape.axes(axes, of: shape, operation)
    _ = try reducedCount(operation, axes)
    if dtype.isInteger {
      return try integerExtrema(largest: largest, over: axes, keepDims: keepDims).values
    }
    var result = self
    for run in Shape.runs(shape, over: axes) {
      result = try result.extremum(operation, largest: largest, run)
    }
    return try result.reshape(Shape.reduced(shape, over: axes, keepDims: keepDims))
  }

  private func extremum(
    _ operation: String, largest: Bool, _ run: (outer: Int, length: Int, inner: Int)
  ) throws -> Tensor {
    let (outer, length, inner) = run
    guard length <= Int(Int32.max) else { throw VQError.overflow(operation, shape) }
    let indices = requiresGrad ? try Storage(.int32, count: outer * inner) : nil
    return try Tensor(operation, shape: [outer, inner]) { out in
      extremumAxis(
        largest: largest, storage.floats, out, indices?.ints, outer: outer, length: length,
        inner: inner)
    }.recorded(operation, inputs: [self]) { [shape] g, _ in
      [
        try Tensor(operation, shape: shape) { out in
          scatterExtrema(
            g.storage.floats, indices!.ints, out, outer: outer, length: length, inner: inner)
        }
      ]
    }
  }

  /// The position of the largest element along `axis`, the first of equal ones; of a NaN if there
  /// is one.
  public func argmax(axis: Int) throws -> Tensor {
    let axis = try Shape.normalize(axis, rank: rank, "argmax")
    let length = try reducedCount("argmax", [axis])
    guard length <= Int(Int32.max) else { throw VQError.overflow("argmax", shape) }
    if dtype.isInteger {
      return try integerExtrema(largest: true, over: [axis], keepDims: false).positions
    }
    let outer = shape[..<axis].reduce(1, *)
    let inner = shape[(axis + 1)...].reduce(1, *)
    let values = try Storage(.float32, count: outer * inner)
    let result = Shape.reduced(shape, over: [axis], keepDims: false)
    return try Tensor("argmax", codeShape: result) { out in
      extremumAxis(
        largest: true, storage.floats, values.floats, out, outer: outer, length: length,
        inner: inner)
    }
  }
}
