import VQKernels
import VQTensor

/// The code nearest to each row of `x` [n, d] among the rows of `codebook` [k, d].
///
/// `codes[i] = argmin_j sum_l (x[i, l] - codebook[j, l])^2` with the sum taken in Float64 in index
/// order of the float32 inputs, the lowest index on equality; the same for every thread count.
///
/// - Returns: codes, int32 [n], and the squared distances to them, float32 [n].
public func nearestCodes(
  _ x: Tensor, _ codebook: Tensor
) throws -> (codes: Tensor, squaredDistances: Tensor) {
  let codes = try codes(nearestTo: x, in: codebook)
  return (codes, try squaredDistances(x, to: codebook, codes: codes, operation: "nearest_codes"))
}

/// `nearestCodes` without the distances.
public func codes(nearestTo x: Tensor, in codebook: Tensor) throws -> Tensor {
  let operation = "nearest_codes"
  try requireMatrices(operation, x, codebook)
  try requireSearch(operation, x.shape, count: 1, of: codebook.shape[0])
  return try assign(x, codebook, operation: operation, names: ("x", "codebook"))
}

/// The `count` codes nearest to each row of `x` [n, d], nearest first, by the same definition.
///
/// - Parameters:
///   - count: m, in 1...k.
/// - Returns: codes, int32 [n, m], and the squared distances to them, float32 [n, m].
public func nearestCodes(
  _ x: Tensor, _ codebook: Tensor, count m: Int
) throws -> (codes: Tensor, squaredDistances: Tensor) {
  let operation = "nearest_codes"
  try requireMatrices(operation, x, codebook)
  let (n, d, k) = (x.shape[0], x.shape[1], codebook.shape[0])
  try requireSearch(operation, x.shape, count: m, of: k)
  try prepareProducts(beside: searchBytes(rows: n, codes: k, width: d) + threadCount * 32 * k)
  var codes: Tensor?
  let distances = try Tensor(operation, shape: [n, m]) { distances in
    codes = try Tensor(operation, codeShape: [n, m]) { codes in
      let bad = x.read { points in
        codebook.read {
          rankedCodes(
            points, count: n, $0, codes: k, width: d, wanted: m, codes, squaredDistances: distances)
        }
      }
      try requireFinite(operation, bad, ("x", x), ("codebook", codebook))
    }
  }
  return (codes!, distances)
}

/// Throws unless `x` [n, d] and `codebook` [k, d] are float32 matrices with equal d >= 1 and k >=
/// 1.
func requireMatrices(_ operation: String, _ x: Tensor, _ codebook: Tensor) throws {
  guard x.dtype == .float32, codebook.dtype == .float32 else {
    throw VQError.type(operation, [x.dtype, codebook.dtype], "float32 is required")
  }
  try requireMatrices(operation, x.shape, codebook.shape)
}

/// Throws unless the shapes are [n, d] and [k, d] with equal d >= 1 and k >= 1.
func requireMatrices(_ operation: String, _ x: [Int], _ codebook: [Int]) throws {
  guard x.count == 2, codebook.count == 2, x[1] == codebook[1] else {
    throw VQError.shape(
      operation, [x, codebook], "x [n, d] and codebook [k, d] with equal d are required")
  }
  guard x[1] > 0 else {
    throw VQError.empty(operation, x, "rows must have at least one element")
  }
  guard codebook[0] > 0 else {
    throw VQError.empty(operation, codebook, "the codebook must have at least one row")
  }
  guard codebook[0] <= Int(Int32.max), x[1] <= Int(Int32.max) else {
    throw VQError.overflow(operation, codebook)
  }
}

/// Throws unless there are rows to search and `m` codes to find for each.
func requireSearch(_ operation: String, _ x: [Int], count m: Int, of k: Int) throws {
  guard x[0] > 0 else {
    throw VQError.empty(operation, x, "x must have at least one row")
  }
  guard m >= 1, m <= k else {
    throw VQError.value(operation, "topk", "\(m)", "must be at least 1 and at most the \(k) codes")
  }
}

/// Codes of the rows of `x` [n, d], int32 [n]. The shapes must fit; `names` are those of the
/// caller's arguments.
package func assign(
  _ x: Tensor, _ codebook: Tensor, operation: String, names: (x: String, codebook: String)
) throws -> Tensor {
  let (n, d, k) = (x.shape[0], x.shape[1], codebook.shape[0])
  try requireMemory(bytes: searchBytes(rows: n, codes: k, width: d))
  return try Tensor(operation, codeShape: [n]) { codes in
    let bad = x.read { points in
      codebook.read { rows in
        guard areFew(n, width: d) else {
          return nearestCode(points, count: n, rows, packed(codebook), codes)
        }
        return nearestOfFew(points, count: n, rows, codes: k, width: d, codes)
      }
    }
    try requireFinite(operation, bad, (names.x, x), (names.codebook, codebook))
  }
}

/// What a search takes at most: the codebook packed and in Float64, rows left to the definition,
/// and the threads' panels or tiles.
func searchBytes(rows n: Int, codes k: Int, width d: Int) -> Int {
  24 * (k + 64) * d + 16 * n + threadCount * ((8 << 20) + 1024 * d)
}

/// `codebook` [k, d] as the kernels read it, kept until its elements change.
func packed(_ codebook: Tensor) -> PackedCodebook {
  let (k, d) = (codebook.shape[0], codebook.shape[1])
  return codebook.derived {
    $0.k == k && $0.d == d
  } make: {
    codebook.read { PackedCodebook($0, codes: k, width: d) }
  }
}

/// The squared distance of each row of `x` [n, d] to its code, float32 [n].
package func squaredDistances(
  _ x: Tensor, to codebook: Tensor, codes: Tensor, operation: String
) throws -> Tensor {
  try Tensor(operation, shape: [x.shape[0]]) { target in
    x.read { points in
      codebook.read { rows in
        codes.readCodes {
          squaredDistancesToCodes(points, count: x.shape[0], rows, width: x.shape[1], $0, target)
        }
      }
    }
  }
}

/// Throws where a search met an element that is not finite.
func requireFinite(
  _ operation: String, _ bad: NonFiniteInput?, _ x: (name: String, tensor: Tensor),
  _ codebook: (name: String, tensor: Tensor)
) throws {
  switch bad {
  case .point(let index):
    throw VQError.nonFinite(
      operation, x.name, value: x.tensor.read { $0[index] }, index: index)
  case .code(let index):
    throw VQError.nonFinite(
      operation, codebook.name, value: codebook.tensor.read { $0[index] }, index: index)
  case nil: break
  }
}
