import VQKernels
import VQTensor

/// k-means of training vectors, which gives a codebook its start where the options say so, and
/// again later.
struct CodebookKMeans {
  private let book: Codebook
  private let generator: StoredGenerator
  /// 1 once the codebook has its start, int32.
  let initialized: Tensor
  /// Training forwards since the last k-means, int32; nil when none is repeated.
  let phase: Tensor?

  /// Lloyd updates after k-means++.
  static let updates = 10

  init(_ book: Codebook, generator: StoredGenerator) throws {
    (self.book, self.generator) = (book, generator)
    let options = book.options
    initialized = try Tensor(codes: [options.start.needsVectors ? 0 : 1], shape: [])
    phase = options.kMeansFrequency > 0 ? try Tensor(codes: [0], shape: []) : nil
  }

  /// Whether the codebook waits for the vectors that give it its start: its codes are random.
  var isWaiting: Bool { initialized.codes[0] == 0 }

  /// Throws while the codebook waits.
  func requireStart() throws {
    guard isWaiting else { return }
    throw VQError.misuse(
      book.name,
      "the codebook waits for its start, k-means of the first training batch: make a training forward, "
        + "or call fit(z), before codes are looked up")
  }

  /// Lloyd updates of the k-means that this training forward begins with; nil for none.
  var dueUpdates: Int? {
    if isWaiting { return book.options.start == .plusPlus ? 0 : Self.updates }
    let isDue = phase.map { Int($0.codes[0]) >= book.options.kMeansFrequency } ?? false
    return isDue ? Self.updates : nil
  }

  /// Sets the codebook by k-means++ and Lloyd updates of `vectors` [n, d].
  func setCodebook(by vectors: Tensor, updates: Int) throws {
    let k = book.count
    let result = try generator.draw { generator in
      try kmeans(
        vectors.detached(), k: k, iterations: updates, initial: .plusPlus, generator: generator,
        operation: book.name, name: "z")
    }
    let usage = result.codes.readCodes { codeUsage($0, rows: vectors.shape[0], codeCount: k) }
    try book.write(
      result.centroids, rows: Array(0..<k), weights: usage.counts.map { Float(max($0, 1)) })
    finish()
    restartPhase()
  }

  /// Takes the codes that there are for the codebook's start.
  func finish() { initialized.mutateCodes { $0[0] = 1 } }

  /// Counts a training forward.
  func advance() { phase?.mutateCodes { $0[0] += 1 } }

  func restartPhase() { phase?.mutateCodes { $0[0] = 0 } }
}
