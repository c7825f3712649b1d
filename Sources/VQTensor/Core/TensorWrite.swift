/// How the elements of a tensor changed, for what keeps state that follows from them.
public enum TensorWrite {
  /// The caller gave them.
  case assigned(before: Tensor)
  /// They were loaded, perhaps with the state that follows from them.
  case loaded(before: Tensor)
  /// An optimizer moved them.
  case stepped

  /// The elements before, where another value took their place.
  public var before: Tensor? {
    switch self {
    case .assigned(let before), .loaded(let before): before
    case .stepped: nil
    }
  }
}

extension StoredTensor {
  /// Whether the elements were written since the tensor was made.
  public var isWritten: Bool { storage.version > 0 }
}

extension Tensor {
  /// Calls `body` after every write of these elements that is announced, through whichever tensor
  /// shares them. It refuses a value by throwing: the elements are then those before.
  public func observeWrites(_ body: @escaping (TensorWrite) throws -> Void) {
    storage.writeObservers.append(body)
  }

  /// Copies `source` into this tensor as a value of the caller's, or of a state when it `isLoaded`:
  /// what follows from the elements follows.
  public func give(_ source: Tensor, isLoaded: Bool = false) throws {
    guard !storage.writeObservers.isEmpty else { return try assign(source) }
    let before = try Tensor.uninitialized(dtype, shape)
    try before.assign(self)
    try assign(source)
    do {
      try announce(isLoaded ? .loaded(before: before) : .assigned(before: before))
    } catch {
      try assign(before)
      throw error
    }
  }

  /// Tells the observers of a write.
  public func announce(_ write: TensorWrite) throws {
    for observer in storage.writeObservers { try observer(write) }
  }

  /// Rows of this matrix that are not those of `other`, of its shape, bit for bit.
  public func rows(differingFrom other: Tensor) -> [Int] {
    let rows = shape.first ?? 1
    guard rows > 0, count == other.count else { return [] }
    let width = count / rows
    return readCodes { a in
      other.readCodes { b in
        (0..<rows).filter { row in
          (row * width..<(row + 1) * width).contains { a[$0] != b[$0] }
        }
      }
    }
  }
}
