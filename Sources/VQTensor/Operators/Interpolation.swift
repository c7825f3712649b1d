import Glibc
import VQKernels

/// How values between elements are found; PyTorch's names.
public enum InterpolationMode: String, CaseIterable, Sendable {
  /// The element that PyTorch takes: that at the result's place times the step, rounded down; each
  /// repeated where the sizes are multiples.
  case nearest
  /// The element whose middle is nearest.
  case nearestExact = "nearest-exact"
  /// The line between two, by the number of axes.
  case linear, bilinear, trilinear
  /// Keys's cubics through four along each axis, a = -0.75.
  case bicubic

  /// The axes that it takes; nil for any.
  fileprivate var axes: Int? {
    switch self {
    case .nearest, .nearestExact: nil
    case .linear: 1
    case .bilinear, .bicubic: 2
    case .trilinear: 3
    }
  }

  fileprivate var isLinear: Bool { axes != nil && self != .bicubic }

  fileprivate func check(_ operation: String, _ shape: [Int]) throws {
    guard let axes, axes != shape.count - 2 else { return }
    let input = ["[n, l, c]", "[n, h, w, c]", "[n, d, h, w, c]"][axes - 1]
    throw VQError.shape(operation, [shape], "mode \(rawValue) requires \(input)")
  }
}

/// The elements of an axis at other places.
private struct AxisScale {
  let from, to: Int
  /// Elements of the result for one of the input, where it is given.
  let factor: Double?
  let mode: InterpolationMode
  let alignsCorners: Bool

  /// A line through elements of as many places ends at these, whatever the factor.
  var isIdentity: Bool { from == to && (step == 1 || mode.isLinear) }

  private var step: Double {
    if alignsCorners { return to > 1 ? Double(from - 1) / Double(to - 1) : 0 }
    return factor.map { 1 / $0 } ?? Double(from) / Double(to)
  }

  func map(_ operation: String) throws -> AxisMap {
    let (step, last) = (self.step, from - 1)
    func position(_ place: Int) -> Double {
      alignsCorners ? Double(place) * step : (Double(place) + 0.5) * step - 0.5
    }
    switch mode {
    case .nearest where to % from == 0 && (factor ?? Double(to / from)) == Double(to / from):
      return try .repeating(operation, from, to / from)
    case .nearest, .nearestExact:
      // Rounded as PyTorch rounds, since a step in the last place is another element.
      let (narrow, offset): (Float, Float) = (
        factor.map { Float(1 / $0) } ?? Float(from) / Float(to), mode == .nearest ? 0 : 0.5
      )
      return try AxisMap(operation, from: from, to: to, most: 1) { place, add in
        add(min(Int((Float(place) + offset) * narrow), last), 1)
      }
    case .linear, .bilinear, .trilinear:
      return try AxisMap(operation, from: from, to: to, most: 2) { place, add in
        let at = max(position(place), 0)
        let lower = min(Int(at), last)
        let share = min(at - Double(lower), 1)
        add(lower, 1 - share)
        add(min(lower + 1, last), share)
      }
    case .bicubic:
      return try AxisMap(operation, from: from, to: to, most: 4) { place, add in
        let at = position(place)
        let lower = min(Int(floor(at)), last)
        let share = min(at - Double(lower), 1)
        for (offset, weight) in zip(-1...2, cubicWeights(share)) {
          add(max(0, min(lower + offset, last)), weight)
        }
      }
    }
  }
}

/// Keys's weights of the elements at -1, 0, 1 and 2 for a place in 0...1.
private func cubicWeights(_ share: Double) -> [Double] {
  let a = -0.75
  func near(_ x: Double) -> Double { ((a + 2) * x - (a + 3)) * x * x + 1 }
  func far(_ x: Double) -> Double { ((a * x - 5 * a) * x + 8 * a) * x - 4 * a }
  return [far(share + 1), near(share), near(1 - share), far(2 - share)]
}

/// Throws unless a size or a factor is given, all above 0, and corners are aligned in a mode that
/// has places between elements.
package func checkInterpolation(
  _ operation: String, size: [Int]?, scaleFactor: [Double]?, mode: InterpolationMode,
  alignCorners: Bool
) throws {
  guard (size == nil) != (scaleFactor == nil) else {
    throw VQError.value(
      operation, "size", size.map { "\($0)" } ?? "none",
      "a size or a scale_factor is required, and not both")
  }
  if let size, size.contains(where: { $0 < 1 }) {
    throw VQError.value(operation, "size", "\(size)", "must be at least 1")
  }
  if let scaleFactor, scaleFactor.contains(where: { !($0 > 0 && $0 < .infinity) }) {
    throw VQError.value(
      operation, "scale_factor", "\(scaleFactor)", "must be finite and above 0")
  }
  guard !alignCorners || mode.axes != nil else {
    throw VQError.value(
      operation, "align_corners", "true", "mode \(mode.rawValue) has no places between elements")
  }
}

extension Tensor {
  /// The elements of [n, l, c], [n, h, w, c] or [n, d, h, w, c] at other places of the axes
  /// between, as PyTorch has them: beyond the ends stand the last elements.
  ///
  /// - Parameters:
  ///   - size: of the result, one number for all axes or one for each.
  ///   - scaleFactor: in its place, elements of the result for one of the input; sizes are rounded
  ///     down.
  ///   - alignCorners: whether the middles of the first and last elements stay where they are,
  ///     instead of their outer ends.
  /// - Throws: `VQError` for a rank that the mode does not take, and sizes or factors that are not
  ///   one or one for each axis, not above 0, or too large.
  public func interpolated(
    size: [Int]? = nil, scaleFactor: [Double]? = nil, mode: InterpolationMode = .nearest,
    alignCorners: Bool = false
  ) throws -> Tensor {
    let operation = "interpolate"
    try requireFloat(operation)
    try checkInterpolation(
      operation, size: size, scaleFactor: scaleFactor, mode: mode, alignCorners: alignCorners)
    guard (3...5).contains(rank) else {
      throw VQError.shape(
        operation, [shape], "[n, l, c], [n, h, w, c] or [n, d, h, w, c] is required")
    }
    try mode.check(operation, shape)
    let inner = shape[1..<rank - 1]
    let sizes = try size.map { try every($0, "size", inner.count) }
    let factors = try scaleFactor.map { try every($0, "scale_factor", inner.count) }
    let scales = try inner.enumerated().map { axis, from in
      AxisScale(
        from: from, to: try sizes?[axis] ?? scaled(from, factors![axis]),
        factor: factors?[axis], mode: mode, alignsCorners: alignCorners)
    }
    let target = [shape[0]] + scales.map(\.to) + [shape[rank - 1]]
    if scales.contains(where: { ($0.from == 0) != ($0.to == 0) }) {
      throw VQError.shape(
        operation, [shape, target], "an axis must have elements before and after, or neither")
    }
    _ = try Shape.count(target, operation)
    return try interpolated(operation, scales, target)
  }

  private func interpolated(
    _ operation: String, _ scales: [AxisScale], _ target: [Int]
  ) throws -> Tensor {
    let maps = try scales.map { count == 0 || $0.isIdentity ? nil : try $0.map(operation) }
    let (n, c) = (shape[0], shape[rank - 1])
    switch rank {
    case 3:
      return try resampled(
        operation, images: [n, shape[1], 1, c], rows: maps[0], columns: nil, shape: target)
    case 4:
      return try resampled(
        operation, images: shape, rows: maps[0], columns: maps[1], shape: target)
    default:
      let (h, w) = (shape[2], shape[3])
      let slices =
        try maps[0] == nil
        ? self
        : resampled(
          operation, images: [n, shape[1], 1, h * w * c], rows: maps[0], columns: nil,
          shape: [n, target[1], h, w, c])
      return try slices.resampled(
        operation, images: [n * target[1], h, w, c], rows: maps[1], columns: maps[2],
        shape: target)
    }
  }

  /// One number for each of so many axes.
  private func every<Number>(_ given: [Number], _ name: String, _ axes: Int) throws -> [Number] {
    if given.count == 1 { return [Number](repeating: given[0], count: axes) }
    guard given.count == axes else {
      throw VQError.value(
        "interpolate", name, "\(given)", "one number is required, or \(axes) for shape \(shape)")
    }
    return given
  }

  private func scaled(_ size: Int, _ factor: Double) throws -> Int {
    let result = Double(size) * factor
    guard result < 0x1p44 else { throw VQError.overflow("interpolate", shape) }
    return Int(result)
  }
}
