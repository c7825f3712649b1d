/// Two-operand kernels of int32 elements. Sums, differences and products wrap around.
public enum IntegerKernel {
  case add, subtract, multiply, maximum, minimum, and, or, exclusiveOr
  /// The quotient rounded down, and what is left, of the divisor's sign. Divisors are not 0.
  case floorDivide, remainder
}

/// `out[i] = a[i] op b[i]`.
public func integers(
  _ kernel: IntegerKernel, _ a: UnsafePointer<Int32>, _ b: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Int32>, count: Int
) {
  @inline(__always)
  func each(_ body: (Int32, Int32) -> Int32) {
    parallelFor(count, grain: elementGrain) { for i in $0 { out[i] = body(a[i], b[i]) } }
  }
  switch kernel {
  case .add: each { $0 &+ $1 }
  case .subtract: each { $0 &- $1 }
  case .multiply: each { $0 &* $1 }
  case .maximum: each { max($0, $1) }
  case .minimum: each { min($0, $1) }
  case .and: each { $0 & $1 }
  case .or: each { $0 | $1 }
  case .exclusiveOr: each { $0 ^ $1 }
  case .floorDivide: each { floorDivided($0, $1).quotient }
  case .remainder: each { floorDivided($0, $1).remainder }
  }
}

@inline(__always)
private func floorDivided(_ a: Int32, _ b: Int32) -> (quotient: Int32, remainder: Int32) {
  if b == -1 { return (0 &- a, 0) }
  let (quotient, rest) = a.quotientAndRemainder(dividingBy: b)
  return rest != 0 && (rest < 0) != (b < 0) ? (quotient - 1, rest + b) : (quotient, rest)
}

/// Comparisons, each 1 where it holds and 0 elsewhere.
public enum Comparison: Int32 {
  case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual

  @inline(__always)
  func holds<Element: Comparable>(_ a: Element, _ b: Element) -> Bool {
    switch self {
    case .equal: a == b
    case .notEqual: a != b
    case .less: a < b
    case .lessOrEqual: a <= b
    case .greater: a > b
    case .greaterOrEqual: a >= b
    }
  }
}

/// `out[i] = a[i] compared to b[i]`; NaN equals nothing and has no order.
public func compare(
  _ comparison: Comparison, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Int32>, count: Int
) {
  parallelFor(count, grain: elementGrain) {
    for i in $0 { out[i] = comparison.holds(a[i], b[i]) ? 1 : 0 }
  }
}

public func compare(
  _ comparison: Comparison, _ a: UnsafePointer<Int32>, _ b: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Int32>, count: Int
) {
  parallelFor(count, grain: elementGrain) {
    for i in $0 { out[i] = comparison.holds(a[i], b[i]) ? 1 : 0 }
  }
}

/// The same of integers and floating-point numbers, exact.
public func compare(
  _ comparison: Comparison, _ a: UnsafePointer<Int32>, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Int32>, count: Int
) {
  parallelFor(count, grain: elementGrain) {
    for i in $0 { out[i] = comparison.holds(Double(a[i]), Double(b[i])) ? 1 : 0 }
  }
}

/// `out[i] = condition[i] != 0 ? a[i] : b[i]`.
public func choose(
  _ condition: UnsafePointer<Int32>, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  parallelFor(count, grain: elementGrain) {
    for i in $0 { out[i] = condition[i] != 0 ? a[i] : b[i] }
  }
}

/// The sum of each row of `x` [rows, columns].
public func integerRowSums(
  _ x: UnsafePointer<Int32>, rows: Int, columns: Int, _ out: UnsafeMutablePointer<Int>
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) {
    for row in $0 {
      var sum = 0
      for i in row * columns..<(row + 1) * columns { sum += Int(x[i]) }
      out[row] = sum
    }
  }
}

/// The first position of the largest (or smallest) element of each row of `x` [rows, columns],
/// columns at least 1.
public func integerRowExtrema(
  largest: Bool, _ x: UnsafePointer<Int32>, rows: Int, columns: Int,
  _ out: UnsafeMutablePointer<Int32>
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) {
    for row in $0 {
      let source = x + row * columns
      var best = 0
      for i in 1..<max(columns, 1)
      where largest ? source[i] > source[best] : source[i] < source[best] { best = i }
      out[row] = Int32(truncatingIfNeeded: best)
    }
  }
}
