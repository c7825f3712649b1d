import VQKernels

extension DType {
  /// int32, or bool, whose elements are integers too.
  package var isInteger: Bool { self == .int32 || self == .bool }
}

// MARK: - Conversion

extension Tensor {
  /// The elements as another type. Between float32 and another type the result is cut from the
  /// tape.
  ///
  /// Floating-point numbers lose their fraction, integers round to float32, and all but 0 is true.
  ///
  /// - Throws: `value` for a number that int32 does not hold.
  public func converted(to target: DType) throws -> Tensor {
    if target == dtype { return self }
    let operation = "astype"
    switch target {
    case .float32:
      return try Tensor(operation, shape: shape) { out in
        for i in 0..<count { out[i] = Float(storage.ints[i]) }
      }
    case .int32:
      guard dtype == .float32 else { return try copied(operation, as: .int32) }
      return try Tensor(operation, codeShape: shape) { out in
        for i in 0..<count {
          guard let number = Int32(exactly: storage.floats[i].rounded(.towardZero)) else {
            throw VQError.value(
              operation, "element \(i)", "\(storage.floats[i])", "must fit in int32")
          }
          out[i] = number
        }
      }
    case .bool:
      return try Tensor(operation, .bool, shape: shape) { _ in }.filled { truth in
        for i in 0..<count {
          truth[i] = (dtype == .float32 ? storage.floats[i] != 0 : storage.ints[i] != 0) ? 1 : 0
        }
      }
    case .float16, .bfloat16:
      throw VQError.type(operation, [target], "no Tensor holds it: narrowed(to:) gives halves")
    }
  }

  /// Integers as float32.
  ///
  /// - Throws: `value` for one that float32 would round.
  func exactFloats(_ operation: String) throws -> Tensor {
    if dtype == .float32 { return self }
    return try Tensor(operation, shape: shape) { out in
      for i in 0..<count {
        let number = storage.ints[i]
        out[i] = Float(number)
        guard Float(number).isFinite, Double(out[i]) == Double(number) else {
          throw VQError.value(
            operation, "element \(i)", "\(number)",
            "float32 would round it: convert with astype, or keep both operands integers")
        }
      }
    }
  }

  /// Both as float32 where one is; both as they are where both are integers.
  static func promoted(_ operation: String, _ a: Tensor, _ b: Tensor) throws -> (Tensor, Tensor) {
    if a.dtype.isInteger == b.dtype.isInteger { return (a, b) }
    return (try a.exactFloats(operation), try b.exactFloats(operation))
  }

  private func copied(_ operation: String, as target: DType) throws -> Tensor {
    try Tensor(operation, target, shape: shape) { out in
      UnsafeMutableRawPointer(out).copyMemory(
        from: storage.base, byteCount: count * target.byteCount)
    }
  }

  private func filled(_ body: (UnsafeMutablePointer<Int32>) -> Void) -> Tensor {
    body(storage.ints)
    return self
  }
}

// MARK: - Arithmetic and comparison

extension Tensor {
  /// `a op b` of integers with broadcasting, int32; of two bools bool where `keepsTruth` says so.
  static func integers(
    _ kernel: IntegerKernel, _ operation: String, _ a: Tensor, _ b: Tensor,
    keepsTruth: Bool = false
  ) throws -> Tensor {
    let (a, b) = try aligned(operation, a, b)
    let isTruth = keepsTruth && a.dtype == .bool && b.dtype == .bool
    return try Tensor(operation, isTruth ? .bool : .int32, shape: a.shape) { _ in }.filled {
      VQKernels.integers(kernel, a.storage.ints, b.storage.ints, $0, count: a.count)
    }
  }

  /// `a / b` of integers, rounded down.
  ///
  /// - Throws: `type` for floating-point operands, `value` where b is 0.
  public static func floorDivided(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    try requireDivisors("floor_divide", a, b)
    return try integers(.floorDivide, "floor_divide", a, b)
  }

  /// What `floorDivided` leaves, of b's sign.
  public static func remainder(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    try requireDivisors("remainder", a, b)
    return try integers(.remainder, "remainder", a, b)
  }

  /// Bit by bit of integers; of bools the logical operation, a bool.
  public static func bitwise(_ kernel: IntegerKernel, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    try requireIntegers("bitwise", a, b)
    return try integers(kernel, "bitwise", a, b, keepsTruth: true)
  }

  /// Where `comparison` holds between elements, with broadcasting: bool. An integer and a
  /// floating-point number compare exactly.
  public static func compared(_ comparison: Comparison, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    let (a, b) = try aligned("compare", a, b)
    return try Tensor("compare", .bool, shape: a.shape) { _ in }.filled { out in
      switch (a.dtype.isInteger, b.dtype.isInteger) {
      case (false, false):
        compare(comparison, a.storage.floats, b.storage.floats, out, count: a.count)
      case (true, true): compare(comparison, a.storage.ints, b.storage.ints, out, count: a.count)
      case (true, false): compare(comparison, a.storage.ints, b.storage.floats, out, count: a.count)
      case (false, true):
        compare(comparison.mirrored, b.storage.ints, a.storage.floats, out, count: a.count)
      }
    }
  }

  /// `condition ? a : b` of each element, with broadcasting; each operand gets the gradient where
  /// it was taken.
  public static func choose(_ condition: Tensor, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    let operation = "where"
    guard condition.dtype.isInteger else {
      throw VQError.type(operation, [condition.dtype], "the condition must be bool or int32")
    }
    let (a, b) = try promoted(operation, a, b)
    let type: DType = a.dtype == b.dtype ? a.dtype : .int32
    let shape = try Shape.broadcast(
      Shape.broadcast(a.shape, b.shape, operation), condition.shape, operation)
    let mask = try condition.broadcast(to: shape).detached()
    let (x, y) = try withoutGradients {
      (try a.broadcast(to: shape), try b.broadcast(to: shape))
    }
    let result = try Tensor(operation, type, shape: shape) { out in
      VQKernels.choose(
        mask.storage.ints, x.storage.floats, y.storage.floats, out, count: mask.count)
    }
    let saved = Saved(mask)
    return result.recorded(operation, inputs: [a, b]) { [a = a.shape, b = b.shape] g, needs in
      let mask = try saved.tensor(operation)
      let zeros = try Tensor.zeros(g.shape)
      return [
        needs[0] ? try choose(mask, g, zeros).summed(to: a) : nil,
        needs[1] ? try choose(mask, zeros, g).summed(to: b) : nil,
      ]
    }
  }

  private static func requireIntegers(_ operation: String, _ a: Tensor, _ b: Tensor) throws {
    guard a.dtype.isInteger, b.dtype.isInteger else {
      throw VQError.type(operation, [a.dtype, b.dtype], "int32 or bool is required")
    }
  }

  private static func requireDivisors(_ operation: String, _ a: Tensor, _ b: Tensor) throws {
    try requireIntegers(operation, a, b)
    if let index = (0..<b.count).first(where: { b.storage.ints[$0] == 0 }) {
      throw VQError.value(operation, "divisor \(index)", "0", "integers have no quotient by 0")
    }
  }

  /// Both repeated to their common shape, off the tape.
  private static func aligned(
    _ operation: String, _ a: Tensor, _ b: Tensor
  ) throws -> (Tensor, Tensor) {
    let shape = try Shape.broadcast(a.shape, b.shape, operation)
    return try withoutGradients { (try a.broadcast(to: shape), try b.broadcast(to: shape)) }
  }
}

extension Comparison {
  /// The comparison of b to a.
  fileprivate var mirrored: Comparison {
    switch self {
    case .less: .greater
    case .lessOrEqual: .greaterOrEqual
    case .greater: .less
    case .greaterOrEqual: .lessOrEqual
    case .equal, .notEqual: self
    }
  }
}

// MARK: - Reductions

extension Tensor {
  /// The integers with `axes` last: [rows, columns].
  private func rows(along axes: [Int]) throws -> (values: Tensor, rows: Int, columns: Int) {
    let kept = shape.indices.filter { !axes.contains($0) }
    let columns = axes.reduce(1) { $0 * shape[$1] }
    return (try permute(kept + axes), kept.reduce(1) { $0 * shape[$1] }, columns)
  }

  /// The sums over `axes`, exact.
  func integerSums(over axes: [Int]) throws -> [Int] {
    let (values, rows, columns) = try rows(along: axes)
    return [Int](unsafeUninitializedCapacity: rows) { out, count in
      if let out = out.baseAddress {
        integerRowSums(values.storage.ints, rows: rows, columns: columns, out)
      }
      count = rows
    }
  }

  func integerSum(over axes: [Int], keepDims: Bool) throws -> Tensor {
    let sums = try integerSums(over: axes).map { sum in
      guard let number = Int32(exactly: sum) else {
        throw VQError.value(
          "sum", "the sum", "\(sum)", "must fit in int32: convert with astype(float32)")
      }
      return number
    }
    return try Tensor(codes: sums, shape: Shape.reduced(shape, over: axes, keepDims: keepDims))
  }

  func integerMean(over axes: [Int], keepDims: Bool, count: Int) throws -> Tensor {
    try Tensor(
      integerSums(over: axes).map { Float(Double($0) / Double(count)) },
      shape: Shape.reduced(shape, over: axes, keepDims: keepDims))
  }

  /// The positions of the extremes among the elements along `axes`, and the extremes.
  func integerExtrema(
    largest: Bool, over axes: [Int], keepDims: Bool
  ) throws -> (values: Tensor, positions: Tensor) {
    let (source, rows, columns) = try rows(along: axes)
    let shape = Shape.reduced(shape, over: axes, keepDims: keepDims)
    let positions = try Tensor("extremum", codeShape: shape) { out in
      integerRowExtrema(
        largest: largest, source.storage.ints, rows: rows, columns: columns, out)
    }
    let values = try Tensor("extremum", dtype, shape: shape) { _ in }.filled { out in
      for row in 0..<rows {
        out[row] = source.storage.ints[row * columns + Int(positions.storage.ints[row])]
      }
    }
    return (values, positions)
  }
}
