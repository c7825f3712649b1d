/// Products of rows with one matrix, again and again: it is arranged for them once.
public struct PackedMatrix {
  private let products: TapProducts
  private let threads: Int

  /// - Parameters:
  ///   - rows: those that are multiplied at a time.
  ///   - transposed: whether the matrix is [width, depth] in memory, not [depth, width].
  public init(rows: Int, depth: Int, width: Int, transposed: Bool, threads: Int) {
    let one = TapAxis(count: 1, first: 0, step: 1, size: 1, stride: 1, taps: [0], offsets: [0])
    let all = TapAxis(
      count: rows, first: 0, step: 1, size: rows, stride: 1, taps: [0], offsets: [0])
    products = TapProducts(
      images: 1, rows: one, columns: all, resultSize: (1, rows), groups: 1, depth: depth,
      width: width,
      weights: TapWeights(
        kernelWidth: 1, ofSource: transposed ? 1 : width, ofResult: transposed ? depth : 1,
        ofGroup: 0), kernels: .usable)
    self.threads = threads
  }

  /// Elements of the memory that `prepare` fills and `multiply` reads.
  public var scratchCount: Int { products.scratchCount(threads: threads) }

  public func prepare(_ matrix: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>) {
    products.prepare(matrix, scratch)
  }

  /// `out` [rows, width] = `x` [rows, depth] times the matrix, where `adds` plus what it holds.
  public func multiply(
    _ x: UnsafePointer<Float>, adds: Bool, _ out: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    products.compute(x, from: adds ? .result : nil, out, scratch: scratch, threads: threads)
  }
}
