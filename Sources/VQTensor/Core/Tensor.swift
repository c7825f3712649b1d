import CPlatform
import Glibc
import VQKernels

/// What an optimizer knows of a parameter beyond its value.
public enum ParameterRole: Int32 {
  case weight = 0
  case bias = 1
  case norm = 2
  case codebook = 3
}

/// The place where backward leaves the gradient of a tensor that the user made.
public final class Leaf {
  public let role: ParameterRole
  private var stored: Tensor?
  private var busy = vq_atomic(value: 0)
  /// Called when rows of a codebook are written anew, so that optimizers forget their moments.
  public var rowObservers: [(_ rows: [Int]) -> Void] = []
  /// What writes this leaf by itself, as a sentence that refuses optimizers; nil for a leaf that
  /// one may take.
  public var refusal: String?
  /// Whether operators record what depends on this leaf; false while it is frozen.
  public internal(set) var takesGradient = true

  init(role: ParameterRole) { self.role = role }

  /// Tells the observers that rows were written anew; those of a scalar are `[0]`.
  public func announce(rows: [Int]) {
    for observer in rowObservers { observer(rows) }
  }

  /// The gradient; several threads may read and replace it.
  public internal(set) var gradient: Tensor? {
    get { exclusively { stored } }
    set { _ = exchange(newValue) }
  }

  /// Puts `gradient` in the place of the one that it gives back.
  func exchange(_ gradient: Tensor?) -> Tensor? {
    exclusively {
      defer { stored = gradient }
      return stored
    }
  }

  private func exclusively(_ body: () -> Tensor?) -> Tensor? {
    while !vq_atomic_try_take(&busy) { sched_yield() }
    defer { vq_atomic_release(&busy) }
    return body()
  }
}

/// An immutable, contiguous, row-major array of float32, int32 or bool that records how it was
/// computed.
///
/// Only optimizers and codebook updates write in place (`mutate`), which bumps the storage's
/// version.
public final class Tensor: StoredTensor {
  public let leaf: Leaf?

  /// Where gradients go; nil of a leaf that is frozen.
  override var tapeNode: Node? { leaf?.takesGradient == false ? nil : node }

  init(shape: [Int], storage: Storage, node: Node? = nil, leaf: Leaf? = nil) {
    self.leaf = leaf
    super.init(shape: shape, storage: storage, node: node)
  }

  public override func widened() -> Tensor { self }

  /// The gradient that backward accumulated; nil before, and for computed tensors.
  public var grad: Tensor? {
    get { leaf?.gradient }
    set { leaf?.gradient = newValue }
  }

  /// The same values, cut from the tape.
  public override func detached() -> Tensor { Tensor(shape: shape, storage: storage) }

  /// A leaf that shares this tensor's values and collects a gradient.
  public func requiringGrad(_ role: ParameterRole = .weight) throws -> Tensor {
    guard dtype == .float32 else {
      throw VQError.type("requires_grad", [dtype], "only float32 tensors have gradients")
    }
    let leaf = Leaf(role: role)
    return Tensor(shape: shape, storage: storage, node: Node(leaf: leaf), leaf: leaf)
  }

  /// Freezes a leaf, which forgets its gradient, or lets it collect one again.
  public func setRequiresGrad(_ requiresGrad: Bool) throws {
    guard let leaf else {
      throw VQError.misuse(
        "requires_grad", "only a tensor made with requires_grad can be frozen, and released again")
    }
    leaf.takesGradient = requiresGrad
    if !requiresGrad { leaf.gradient = nil }
  }
}

// MARK: - Making and reading

extension Tensor {
  /// A float32 tensor whose elements `fill` writes, all of them; throws where it is interrupted.
  public convenience init(
    _ operation: String = "tensor", shape: [Int],
    fill: (UnsafeMutablePointer<Float>) throws -> Void
  ) throws {
    let storage = try Storage(.float32, count: Shape.count(shape, operation))
    try interruptible(operation) { try fill(storage.floats) }
    self.init(shape: shape, storage: storage)
  }

  public convenience init(_ values: [Float], shape: [Int]) throws {
    let count = try Shape.count(shape, "tensor")
    guard count == values.count else {
      throw VQError.shape("tensor", [shape], "\(values.count) values do not fill \(count) elements")
    }
    try self.init(shape: shape) { target in
      values.withUnsafeBufferPointer { source in
        if count > 0 { target.update(from: source.baseAddress!, count: count) }
      }
    }
  }

  public convenience init(codes values: [Int32], shape: [Int]) throws {
    let count = try Shape.count(shape, "tensor")
    guard count == values.count else {
      throw VQError.shape("tensor", [shape], "\(values.count) values do not fill \(count) elements")
    }
    try self.init("tensor", codeShape: shape) { target in
      values.withUnsafeBufferPointer { source in
        if count > 0 { target.update(from: source.baseAddress!, count: count) }
      }
    }
  }

  /// An int32 tensor whose elements `fill` writes, all of them.
  public convenience init(
    _ operation: String, codeShape shape: [Int],
    fill: (UnsafeMutablePointer<Int32>) throws -> Void
  ) throws {
    let storage = try Storage(.int32, count: Shape.count(shape, operation))
    try interruptible(operation) { try fill(storage.ints) }
    self.init(shape: shape, storage: storage)
  }

  public convenience init(scalar value: Float) throws {
    try self.init(shape: []) { $0[0] = value }
  }

  public static func full(_ shape: [Int], _ value: Float) throws -> Tensor {
    let count = try Shape.count(shape, "full")
    return try Tensor("full", shape: shape) { $0.update(repeating: value, count: count) }
  }

  public static func zeros(_ shape: [Int]) throws -> Tensor { try full(shape, 0) }
  public static func ones(_ shape: [Int]) throws -> Tensor { try full(shape, 1) }

  /// The elements of a float32 tensor, in row-major order.
  public var values: [Float] {
    dtype == .float32
      ? Array(UnsafeBufferPointer(start: storage.floats, count: count))
      : Array(UnsafeBufferPointer(start: storage.ints, count: count)).map(Float.init)
  }

  /// The elements of an int32 tensor, in row-major order.
  public var codes: [Int32] {
    dtype.isInteger
      ? Array(UnsafeBufferPointer(start: storage.ints, count: count))
      : Array(UnsafeBufferPointer(start: storage.floats, count: count)).map { Int32($0) }
  }

  /// The only element.
  public func item() throws -> Float {
    guard count == 1 else {
      throw VQError.shape("item", [shape], "exactly one element is required")
    }
    return dtype == .float32 ? storage.floats[0] : Float(storage.ints[0])
  }

  /// What `make` computes from the elements, kept with them until they change; `fits` says whether
  /// a kept one was made for the same purpose.
  public func derived<Value: AnyObject>(
    fits: (Value) -> Bool, make: () throws -> Value
  ) rethrows -> Value {
    if let kept = storage.derived(Value.self), fits(kept) { return kept }
    let value = try completingLoops(make)
    storage.keep(derived: value)
    return value
  }

  /// Writes in place and bumps the version: for optimizers and codebook updates.
  public func mutate(_ body: (UnsafeMutablePointer<Float>) throws -> Void) rethrows {
    storage.version += 1
    try writingLoops { try body(storage.floats) }
  }

  /// Writes an int32 tensor in place and bumps the version.
  public func mutateCodes(_ body: (UnsafeMutablePointer<Int32>) throws -> Void) rethrows {
    storage.version += 1
    try writingLoops { try body(storage.ints) }
  }

  /// Reads the elements of a float32 tensor.
  public func read<Result>(_ body: (UnsafePointer<Float>) throws -> Result) rethrows -> Result {
    try body(UnsafePointer(storage.floats))
  }

  /// Reads the elements of an int32 tensor.
  public func readCodes<Result>(_ body: (UnsafePointer<Int32>) throws -> Result) rethrows -> Result
  {
    try body(UnsafePointer(storage.ints))
  }
}

extension Tensor {
  /// A tensor of either element type, both of four bytes, whose elements `fill` writes.
  convenience init(
    _ operation: String, _ dtype: DType, shape: [Int],
    fill: (UnsafeMutablePointer<Float>) throws -> Void
  ) throws {
    let storage = try Storage(dtype, count: Shape.count(shape, operation))
    try interruptible(operation) { try fill(storage.floats) }
    self.init(shape: shape, storage: storage)
  }

  /// Throws unless the element type is float32.
  package func requireFloat(_ operation: String) throws {
    guard dtype == .float32 else {
      throw VQError.type(operation, [dtype], "float32 is required")
    }
  }

  /// Throws unless every element is finite.
  package func requireFinite(_ operation: String, _ name: String) throws {
    if let index = read({ firstNonFiniteElement($0, count: count) }) {
      throw VQError.nonFinite(operation, name, value: read { $0[index] }, index: index)
    }
  }

  /// Throws unless both element types are float32.
  static func requireFloats(_ operation: String, _ a: Tensor, _ b: Tensor) throws {
    guard a.dtype == .float32, b.dtype == .float32 else {
      throw VQError.type(operation, [a.dtype, b.dtype], "float32 is required")
    }
  }

  /// Throws unless the elements are int32 in `0..<bound`.
  func requireCodes(_ operation: String, below bound: Int) throws {
    guard dtype.isInteger else {
      throw VQError.type(operation, [dtype], "codes must be int32")
    }
    if let position = firstOutside(storage.ints, count: count, bound: bound) {
      throw VQError.index(operation, value: Int(storage.ints[position]), bound: bound)
    }
  }
}
