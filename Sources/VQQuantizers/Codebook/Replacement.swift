import VQKernels
import VQTensor

/// Replacement of dead codes, those that so many training forwards in a row left unused.
struct Replacement {
  private let book: Codebook
  private let generator: StoredGenerator
  /// Training forwards since each code was last used, int32 [k].
  let unusedSteps: Tensor

  init(_ book: Codebook, generator: StoredGenerator) throws {
    (self.book, self.generator) = (book, generator)
    unusedSteps = try Tensor(codes: [Int32](repeating: 0, count: book.count), shape: [book.count])
  }

  /// Counts a training forward, and replaces dead codes by random vectors of the batch, each moved
  /// by normal noise of standard deviation `0.01 |v| / sqrt(d)` an element.
  ///
  /// - Parameters:
  ///   - parts: the vectors of each stage.
  ///   - counts: vectors of each code in all stages, [k].
  func replaceUnused(by parts: [AssignedVectors], counts: [Int32]) throws {
    let dead = dead(after: counts)
    if dead.isEmpty { return }
    let vectors = parts.map { $0.vectors.detached() }
    let pool = vectors.count == 1 ? vectors[0] : try Tensor.concatenate(vectors, axis: 0)
    let values = try generator.draw { try noisyPoints(pool, count: dead.count, $0) }
    try book.write(values, rows: dead)
  }

  /// Counts a training forward whose codes have so many vectors each, [k], and gives the codes that
  /// are dead then; the caller replaces them.
  func dead(after counts: [Int32]) -> [Int] {
    let frequency = book.options.replaceFrequency
    guard frequency > 0 else { return [] }
    var dead: [Int] = []
    unusedSteps.mutateCodes { dead = countUnusedSteps(counts, $0, limit: frequency) }
    return dead
  }

  /// Lets `rows` count as used.
  func forget(_ rows: [Int]) {
    unusedSteps.mutateCodes { steps in for row in rows { steps[row] = 0 } }
  }

  func forgetAll() { unusedSteps.mutateCodes { $0.update(repeating: 0, count: book.count) } }
}
