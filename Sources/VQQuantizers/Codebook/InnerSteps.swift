import VQKernels
import VQNN
import VQTensor

/// Alternating optimization (Huh et al. 2023): steps of an optimizer of the raw codebook alone,
/// inside training forwards.
final class InnerSteps {
  private let book: Codebook
  private let lookup: Lookup
  private let regularizers: CodebookRegularizers
  /// Training forwards since the last with steps, int32.
  let phase: Tensor
  /// What steps C; nil for none.
  var optimizer: Optimizer? {
    didSet {
      book.raw.leaf?.refusal =
        optimizer == nil
        ? nil
        : "the in-place optimizer of a \(book.name) owns it, and no parameter belongs to two optimizers"
    }
  }

  init(_ book: Codebook, _ lookup: Lookup, _ regularizers: CodebookRegularizers) throws {
    (self.book, self.lookup, self.regularizers) = (book, lookup, regularizers)
    phase = try Tensor(codes: [0], shape: [])
  }

  private var options: VectorQuantOptions { book.options }

  /// Throws unless an optimizer can own this codebook.
  func checkSupport() throws {
    guard book.statistics == nil else {
      throw VQError.misuse(
        book.name,
        "an EMA codebook has no gradient: inplace_optimizer and ema_decay exclude each other")
    }
    guard book.map.transform == nil else {
      throw VQError.misuse(
        book.name,
        "SimVQ freezes the codebook: there is nothing that an inplace_optimizer could step")
    }
  }

  /// The optimizer that a training forward of `vectors` steps, nil when it steps none; throws when
  /// it cannot.
  func optimizer(dueFor vectors: Tensor) throws -> Optimizer? {
    guard let optimizer else { return nil }
    try checkSupport()
    let parameters = optimizer.parameters
    guard parameters.count == 1, parameters[0] === book.raw else {
      throw VQError.misuse(
        book.name, "the in-place optimizer must own the layer's codebook and nothing else")
    }
    guard phase.codes[0] == 0 else { return nil }
    guard vectors.shape[0] >= options.innerSteps else {
      throw VQError.shape(
        book.name, [vectors.shape],
        "inner_steps = \(options.innerSteps) needs as many vectors, and there are \(vectors.shape[0])"
      )
    }
    return optimizer
  }

  /// Steps `optimizer` once for each contiguous part of `z` [n, d] and its residuals.
  ///
  /// - Returns: for each stage the codes that the parts had before their steps, int32 [n].
  func step(_ optimizer: Optimizer, with z: Tensor, stages: Int) throws -> [Tensor] {
    let (n, steps) = (z.shape[0], options.innerSteps)
    var codes = [[Tensor]](repeating: [], count: stages)
    for step in 0..<steps {
      let part =
        steps == 1 ? z : try z.slice(axis: 0, from: step * n / steps, to: (step + 1) * n / steps)
      let found = try withGradients { try stepOnce(optimizer, with: part, stages: stages) }
      for stage in 0..<stages { codes[stage].append(found[stage]) }
      book.raw.grad = nil
    }
    return try codes.map { $0.count == 1 ? $0[0] : try Tensor.concatenate($0, axis: 0) }
  }

  /// One step by counts [k] and sums [k, d] of the vectors of each code, as compared: the gradient
  /// of their mean squared error; none where it is not due.
  func step(counts: [Int32], sums: [Double]) throws {
    guard let optimizer, phase.codes[0] == 0 else { return }
    try withGradients {
      let effective = try book.effective(training: .raw)
      let total = counts.reduce(0) { $0 + Double($1) } * Double(options.width)
      let gradient = try Tensor(book.name, shape: effective.shape) { out in
        effective.read {
          differenceToSums(
            $0, counts: counts, sums: sums, width: options.width, scale: 2 / total, out)
        }
      }
      try effective.backward(gradient)
      try book.raw.grad?.requireFinite(book.name, "the codebook's gradient")
      try optimizer.step()
      try book.raw.requireFinite(book.name, "the codebook after the in-place step")
    }
    book.raw.grad = nil
  }

  /// Throws for what statistics of codes do not tell.
  func checkDeferred() throws {
    func refuse(_ isOn: Bool, _ what: String) throws {
      guard isOn else { return }
      throw VQError.misuse(
        book.name, what + " needs the vectors of a batch in one place: it cannot be deferred")
    }
    try refuse(optimizer != nil && options.innerSteps > 1, "inner_steps above 1")
    try refuse(optimizer != nil && options.reassign, "reassign")
    try refuse(
      optimizer != nil && options.entropyWeight > 0, "entropy_weight with an in-place optimizer")
    try refuse(
      optimizer != nil && options.orthogonalWeight > 0,
      "orthogonal_weight with an in-place optimizer")
  }

  /// One step by the gradient in C, through the map and norm, added to what backward left on C;
  /// gives each stage's codes before it.
  private func stepOnce(_ optimizer: Optimizer, with z: Tensor, stages: Int) throws -> [Tensor] {
    let effective = try book.effective(training: .raw)
    let (codes, gradient) = try gradient(in: effective.detached(), of: z, stages: stages)
    try effective.backward(gradient)
    try book.raw.grad?.requireFinite(book.name, "the codebook's gradient")
    try optimizer.step()
    try book.raw.requireFinite(book.name, "the codebook after the in-place step")
    return codes
  }

  /// Each stage's codes, and the gradient in the effective codebook [k, d] of the sum over stages
  /// of `mse(sg z, z_q)` and the entropy regularizer, and of the orthogonal one.
  private func gradient(
    in effective: Tensor, of z: Tensor, stages: Int
  ) throws -> (codes: [Tensor], gradient: Tensor?) {
    var codes: [Tensor] = []
    var sum: Tensor?
    func add(_ part: Tensor?) throws {
      guard let part else { return }
      sum = try sum.map { try $0 + part } ?? part
    }
    var residual = z
    for stage in 0..<stages {
      let vectors = residual
      let found = try lookup.codes(of: vectors, in: effective, isTraining: true)
      codes.append(found)
      let index = CodeIndex(found, codeCount: book.count)
      try add(codebookGradient(vectors, effective, index, scale: 2 / Double(z.count)))
      try add(
        regularizers.gradient(in: effective) { try regularizers.entropy(of: vectors, in: $0) })
      if stage + 1 < stages { residual = try residual - effective.gatherRows(found) }
    }
    try add(regularizers.gradient(in: effective, of: regularizers.orthogonality))
    return (codes, sum)
  }

  /// Counts a training forward.
  func advance() {
    guard optimizer != nil else { return }
    let next = Int(phase.codes[0]) + 1
    phase.mutateCodes { $0[0] = next >= options.outerSteps ? 0 : Int32(next) }
  }

  func restartPhase() { phase.mutateCodes { $0[0] = 0 } }
}
