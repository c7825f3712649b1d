import VQKernels
import VQTensor

/// The code nearest to each row of `x` [n, d] among the rows of `codebook` [k, d].
///
/// `codes[i] = argmin_j sum_l (x[i, l] - codebook[j, l])^2` with the sum taken in Float64 in index order
/// of the float32 inputs, the lowest index on equality; the same for every thread count.
///
/// - Returns: codes, int32 [n], and the squared distances to them, float32 [n].
public func nearestCodes(
  _ x: Tensor, _ codebook: Tensor
) throws -> (codes: Tensor, squaredDistances: Tensor) {
  let operation = "nearest_codes"
  try requireMatrices(operation, x, codebook)
  guard x.shape[0] > 0 else {
    throw VQError.empty(operation, x.shape, "x must have at least one row")
  }
  let distances = try Tensor(operation, shape: [x.shape[0]]) { _ in }
  let codes = try assign(x, codebook, operation: operation, names: ("x", "codebook"), distances)
  return (codes, distances)
}

/// Throws unless `x` [n, d] and `codebook` [k, d] are float32 matrices with equal d >= 1 and k >= 1.
func requireMatrices(_ operation: String, _ x: Tensor, _ codebook: Tensor) throws {
  guard x.dtype == .float32, codebook.dtype == .float32 else {
    throw VQError.type(operation, [x.dtype, codebook.dtype], "float32 is required")
  }
  guard x.rank == 2, codebook.rank == 2, x.shape[1] == codebook.shape[1] else {
    throw VQError.shape(
      operation, [x.shape, codebook.shape], "x [n, d] and codebook [k, d] with equal d are required"
    )
  }
  guard x.shape[1] > 0 else {
    throw VQError.empty(operation, x.shape, "rows must have at least one element")
  }
  guard codebook.shape[0] > 0 else {
    throw VQError.empty(operation, codebook.shape, "the codebook must have at least one row")
  }
  guard codebook.shape[0] <= Int(Int32.max), x.shape[1] <= Int(Int32.max) else {
    throw VQError.overflow(operation, codebook.shape)
  }
}

/// Codes of the rows of `x` [n, d], int32 [n]; writes the squared distances when they are asked for.
/// The shapes must fit; `names` are those of the caller's arguments.
func assign(
  _ x: Tensor, _ codebook: Tensor, operation: String, names: (x: String, codebook: String),
  _ squaredDistances: Tensor? = nil
) throws -> Tensor {
  try Tensor(operation, codeShape: [x.shape[0]]) { codes in
    var bad: NonFiniteInput?
    x.read { points in
      codebook.read { rows in
        func search(_ distances: UnsafeMutablePointer<Float>?) {
          bad = nearestCode(
            points, count: x.shape[0], rows, codes: codebook.shape[0], width: x.shape[1], codes,
            squaredDistances: distances)
        }
        if let squaredDistances { squaredDistances.mutate(search) } else { search(nil) }
      }
    }
    switch bad {
    case .point(let index):
      throw VQError.nonFinite(operation, names.x, value: x.read { $0[index] }, index: index)
    case .code(let index):
      throw VQError.nonFinite(
        operation, names.codebook, value: codebook.read { $0[index] }, index: index)
    case nil: break
    }
  }
}
