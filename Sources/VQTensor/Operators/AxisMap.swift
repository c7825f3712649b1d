import VQKernels

/// A linear map of the elements along an axis, each result the sum of a few: a sparse matrix.
struct AxisMap {
  /// Elements before and after.
  let from, to: Int
  private let starts, sources, weights: Storage

  /// - Parameters:
  ///   - most: terms of a result.
  ///   - terms: the terms of the result at a place, of ascending sources, equal ones together.
  /// - Throws: `overflow` beyond 2^31 terms.
  init(
    _ operation: String, from: Int, to: Int, most: Int,
    terms: (_ place: Int, _ add: (_ source: Int, _ weight: Double) -> Void) -> Void
  ) throws {
    guard max(from, to) < Int(Int32.max) / most else {
      throw VQError.overflow(operation, [from, to])
    }
    (self.from, self.to) = (from, to)
    starts = try Storage(.int32, count: to + 1)
    sources = try Storage(.int32, count: to * most)
    weights = try Storage(.float32, count: to * most)
    let (starts, sources, weights) = (self.starts.ints, self.sources.ints, self.weights.floats)
    var filled = 0
    for place in 0..<to {
      starts[place] = Int32(filled)
      terms(place) { source, weight in
        if filled > Int(starts[place]), sources[filled - 1] == source {
          weights[filled - 1] += Float(weight)
        } else if weight != 0 {
          (sources[filled], weights[filled]) = (Int32(source), Float(weight))
          filled += 1
        }
      }
    }
    starts[to] = Int32(filled)
  }

  /// Each element `count` times.
  static func repeating(_ operation: String, _ from: Int, _ count: Int) throws -> AxisMap {
    try AxisMap(operation, from: from, to: from * count, most: 1) { $1($0 / count, 1) }
  }

  private init(from: Int, to: Int, starts: Storage, sources: Storage, weights: Storage) {
    (self.from, self.to) = (from, to)
    (self.starts, self.sources, self.weights) = (starts, sources, weights)
  }

  /// The map of gradients.
  func transposed() throws -> AxisMap {
    let count = Int(starts.ints[to])
    let result = AxisMap(
      from: to, to: from, starts: try Storage(.int32, count: from + 1),
      sources: try Storage(.int32, count: count), weights: try Storage(.float32, count: count))
    let ends = result.starts.ints
    ends.update(repeating: 0, count: from + 1)
    for i in 0..<count { ends[Int(sources.ints[i]) + 1] += 1 }
    for element in 0..<from { ends[element + 1] += ends[element] }
    // Each end goes from the start of its row to that of the next while the row fills.
    for place in 0..<to {
      for i in Int(starts.ints[place])..<Int(starts.ints[place + 1]) {
        let element = Int(sources.ints[i])
        let at = Int(ends[element])
        result.sources.ints[at] = Int32(place)
        result.weights.floats[at] = weights.floats[i]
        ends[element] += 1
      }
    }
    for element in stride(from: from, to: 0, by: -1) { ends[element] = ends[element - 1] }
    ends[0] = 0
    return result
  }

  var rows: SparseRows {
    SparseRows(
      count: to, starts: starts.ints, sources: sources.ints, weights: weights.floats)
  }
}

extension Tensor {
  /// These elements, read as images [n, h, w, c], with `rows` along the second axis and `columns`
  /// along the third; nil leaves an axis as it is.
  func resampled(
    _ operation: String, images view: [Int], rows: AxisMap?, columns: AxisMap?, shape: [Int]
  ) throws -> Tensor {
    let source = self.shape
    let height = rows?.to ?? view[1]
    return try Tensor(operation, shape: shape) { out in
      guard count > 0 else { return }
      let slots = Swift.max(1, Swift.min(threadCount, view[0] * height))
      let line = rows == nil || columns == nil ? 0 : view[2] * view[3]
      let (size, overflow) = slots.multipliedReportingOverflow(by: line)
      guard !overflow else { throw VQError.overflow(operation, [slots, line]) }
      let scratch = try Storage(.float32, count: size)
      withExtendedLifetime(scratch) {
        resample(
          storage.floats, images: view[0], height: view[1], width: view[2], channels: view[3],
          rows: rows?.rows, columns: columns?.rows, scratch: scratch.floats, slots: slots, out)
      }
    }.recorded(operation, inputs: [self]) { g, _ in
      let back = [view[0], height, columns?.to ?? view[2], view[3]]
      return [
        try g.resampled(
          operation, images: back, rows: rows?.transposed(), columns: columns?.transposed(),
          shape: source)
      ]
    }
  }
}
