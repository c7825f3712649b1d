import Testing

@testable import VQTensor

/// A Float64 array that computes the plain way, index by index.
struct Reference {
  var shape: [Int]
  var values: [Double]

  init(shape: [Int], values: [Double]) {
    self.shape = shape
    self.values = values
  }

  init(_ tensor: Tensor) {
    self.init(shape: tensor.shape, values: tensor.values.map(Double.init))
  }

  /// Every index of a shape, in row-major order.
  static func indices(_ shape: [Int]) -> [[Int]] {
    shape.reduce([[]]) { prefixes, size in
      prefixes.flatMap { prefix in (0..<size).map { prefix + [$0] } }
    }
  }

  /// The element at an index of a shape that this one broadcasts to.
  subscript(index: [Int]) -> Double {
    var position = 0
    for (size, i) in zip(shape, index.suffix(shape.count)) {
      position = position * size + (size == 1 ? 0 : i)
    }
    return values[position]
  }

  func combined(_ other: Reference, _ body: (Double, Double) -> Double) throws -> Reference {
    let target = try Shape.broadcast(shape, other.shape, "reference")
    return Reference(
      shape: target, values: Reference.indices(target).map { body(self[$0], other[$0]) })
  }

  /// The elements that each result of a reduction over `axes` sees.
  func groups(_ axes: [Int]) -> [[Double]] {
    let kept = shape.indices.filter { !axes.contains($0) }
    var groups: [[Int]: [Double]] = [:]
    for index in Reference.indices(shape) {
      groups[kept.map { index[$0] }, default: []].append(self[index])
    }
    return Reference.indices(kept.map { shape[$0] }).map { groups[$0] ?? [] }
  }

  /// `self` [b, m, k] by `other` [b, k, n], batch axes broadcast.
  func product(_ other: Reference) throws -> Reference {
    let batch = try Shape.broadcast(
      Array(shape.dropLast(2)), Array(other.shape.dropLast(2)), "reference")
    let k = shape[shape.count - 1]
    let target = batch + [shape[shape.count - 2], other.shape[other.shape.count - 1]]
    return Reference(
      shape: target,
      values: Reference.indices(target).map { index in
        let (b, i, j) = (Array(index.dropLast(2)), index[index.count - 2], index[index.count - 1])
        return (0..<k).reduce(0) { $0 + self[b + [i, $1]] * other[b + [$1, j]] }
      })
  }
}

/// Expects every element within `absolute + relative * |expected|`; NaN and infinity must be equal.
func expectClose(
  _ tensor: Tensor, _ expected: [Double], relative: Double = 0x1p-22, absolute: Double = 0,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let values = tensor.values
  #expect(values.count == expected.count, sourceLocation: sourceLocation)
  // An expectation of each element takes longer than the element.
  for (index, (value, reference)) in zip(values, expected).enumerated() {
    let rounded = Float(reference)
    let isClose =
      rounded.isFinite
      ? Swift.abs(Double(value) - reference) <= absolute + relative * Swift.abs(reference)
      : value == rounded || (value.isNaN && rounded.isNaN)
    if !isClose {
      Issue.record(
        "element \(index): \(value) against \(reference)", sourceLocation: sourceLocation)
    }
  }
}

/// Expects an error with exactly this text.
func expectError(
  _ text: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Any
) {
  do {
    _ = try body()
    Issue.record("no error was thrown", sourceLocation: sourceLocation)
  } catch {
    #expect("\(error)" == text, sourceLocation: sourceLocation)
  }
}
