import VQKernels

/// A recurrent layer over one sequence: its sizes, what a forward computes and the gradients from
/// that.
///
/// Products with the weights of the input, and of gradients with states, are one for all steps.
struct RecurrentRun {
  let cell: RecurrentCell
  let reversed: Bool
  /// [t, n, h]
  let states: Tensor
  private let (steps, samples, inputs, width): (Int, Int, Int, Int)
  private let x: Tensor
  private let h: Tensor
  private let c: Tensor?
  private let parameters: RecurrentParameters
  /// [t, n, g h]: sums, then gates; an Elman layer's sums.
  private let gates: Storage
  /// [t, n, h]: an LSTM's cells, a GRU's hidden part of n.
  private let memory: Storage

  private var rowLength: Int { cell.gates * width }
  private var stateSize: Int { samples * width }
  private var gateSize: Int { samples * rowLength }

  init(
    _ cell: RecurrentCell, _ x: Tensor, _ h: Tensor, _ c: Tensor?,
    _ parameters: RecurrentParameters, reversed: Bool
  ) throws {
    let name = cell.rawValue
    for tensor in [x, h, parameters.input, parameters.hidden] { try tensor.requireFloat(name) }
    guard x.rank == 3 else {
      throw VQError.shape(name, [x.shape], "the input must be [t, n, i]")
    }
    let hidden = parameters.hidden.shape
    guard hidden.count == 2, hidden[1] > 0, hidden[0] == cell.gates * hidden[1] else {
      throw VQError.shape(
        name, [hidden], "the hidden weight must be [\(cell.gates) h, h] with h at least 1")
    }
    (steps, samples, inputs, width) = (x.shape[0], x.shape[1], x.shape[2], hidden[1])
    let rows = hidden[0]
    guard parameters.input.shape == [rows, inputs] else {
      throw VQError.shape(
        name, [x.shape, parameters.input.shape],
        "the input weight must be [\(rows), \(inputs)]: gates of the hidden weight, inputs of x")
    }
    for bias in [parameters.inputBias, parameters.hiddenBias].compactMap({ $0 }) {
      try bias.requireFloat(name)
      guard bias.shape == [rows] else {
        throw VQError.shape(name, [bias.shape], "a bias must be [\(rows)]")
      }
    }
    guard (c != nil) == (cell == .lstm) else {
      throw VQError.misuse(name, c == nil ? "it needs a cell beside h" : "only an lstm has a cell")
    }
    for state in [h, c].compactMap({ $0 }) {
      try state.requireFloat(name)
      guard state.shape == [samples, width] else {
        throw VQError.shape(name, [state.shape], "a state must be [\(samples), \(width)]")
      }
    }
    (self.cell, self.x, self.h, self.c) = (cell, x.detached(), h.detached(), c?.detached())
    self.parameters = RecurrentParameters(
      input: parameters.input.detached(), hidden: parameters.hidden.detached(),
      inputBias: parameters.inputBias?.detached(), hiddenBias: parameters.hiddenBias?.detached())
    self.reversed = reversed
    gates = try Storage(.float32, count: Shape.count([steps, samples, rows], name))
    states = try Tensor.uninitialized(.float32, [steps, samples, width])
    memory = try Storage(.float32, count: cell.gates == 1 ? 0 : states.count)
  }

  /// The place in the sequence of a step.
  private func time(_ step: Int) -> Int { reversed ? steps - 1 - step : step }

  /// The state, or an LSTM's cell, before a step.
  private func before(
    _ step: Int, _ start: Tensor, _ all: UnsafeMutablePointer<Float>
  ) -> UnsafePointer<Float> {
    UnsafePointer(step == 0 ? start.storage.floats : all + time(step - 1) * stateSize)
  }

  func forward() throws {
    let name = cell.rawValue
    // Those of both sides, but the hidden part of a GRU's n has its own.
    let (bias, ownBias) = (try Storage(.float32, count: rowLength), try Tensor.zeros([width]))
    for j in 0..<rowLength {
      let other = parameters.hiddenBias?.storage.floats[j] ?? 0
      let isOwn = cell == .gru && j >= 2 * width
      bias.floats[j] = (parameters.inputBias?.storage.floats[j] ?? 0) + (isOwn ? 0 : other)
      if isOwn { ownBias.storage.floats[j - 2 * width] = other }
    }
    let products = try Storage(.float32, count: cell == .gru ? gateSize : 0)
    try gemm(
      transposeB: true, m: steps * samples, n: rowLength, k: inputs, x.storage.floats, lda: inputs,
      parameters.input.storage.floats, ldb: inputs, gates.floats, ldc: rowLength)
    let hidden = try RepeatedProduct(
      rows: samples, depth: width, width: rowLength, parameters.hidden, transposed: true)
    for step in 0..<steps {
      if loopIsStopped() { throw VQError.interrupted(name) }
      let place = time(step)
      let row = gates.floats + place * gateSize
      let (y, kept) = (states.storage.floats + place * stateSize, memory.floats)
      let state = before(step, h, states.storage.floats)
      hidden.multiply(state, adds: cell != .gru, cell == .gru ? products.floats : row)
      switch cell {
      case .lstm:
        lstmStep(
          row, bias: bias.floats, before: before(step, c ?? h, kept), kept + place * stateSize, y,
          samples: samples, count: width)
      case .gru:
        gruStep(
          row, hidden: products.floats, bias: bias.floats, hiddenBias: ownBias.storage.floats,
          before: state, kept + place * stateSize, y, samples: samples, count: width)
      case .tanh, .relu:
        elmanStep(
          rectified: cell == .relu, row, bias: bias.floats, y, samples: samples, count: width)
      }
    }
  }

  /// An LSTM's cell after the last step [n, h].
  func lastCell() throws -> Tensor? {
    guard let c else { return nil }
    let last = before(steps, c, memory.floats)
    return try Tensor(cell.rawValue, shape: c.shape) { $0.update(from: last, count: stateSize) }
  }

  // MARK: Gradients

  /// Those of x, h, c, both weights and both biases, where one is needed.
  func gradients(_ dy: Tensor, _ lastCell: Tensor?, _ needs: [Bool]) throws -> [Tensor?] {
    let sums = try Tensor.uninitialized(.float32, [steps * samples, rowLength])
    // A GRU's hidden sums have other gradients than the input's.
    let hiddenSums = cell == .gru ? try Tensor.uninitialized(.float32, sums.shape) : sums
    let dh = try Tensor.zeros(h.shape)
    let dc = try Tensor.zeros(c?.shape ?? [0])
    if let lastCell { try dc.assign(lastCell) }
    var (dx, input, hidden): (Tensor?, Tensor?, Tensor?)
    let weights = try RepeatedProduct(
      rows: samples, depth: rowLength, width: width, parameters.hidden, transposed: false)
    try interruptible(cell.rawValue) {
      try gradientsOfSums(
        dy, weights, sums.storage.floats, hiddenSums.storage.floats, dh.storage.floats,
        dc.storage.floats)
      if needs[1] {
        addProduct(hiddenSums.storage.floats, weights, beforeStep: 0, to: dh.storage.floats)
      }
      if needs[0] { dx = try inputGradient(sums) }
      if needs[3] { input = try inputWeightGradient(sums) }
      if needs[4] { hidden = try hiddenWeightGradient(hiddenSums) }
    }
    return [
      dx, needs[1] ? dh : nil, needs[2] ? dc : nil, input, hidden,
      needs[5] ? try sums.summed(to: [rowLength]) : nil,
      needs[6] ? try hiddenSums.summed(to: [rowLength]) : nil,
    ]
  }

  /// Those of all sums, from the last step to the first. `dh` becomes what goes from the first step
  /// to h other than by a product, `dc` the gradient of c.
  private func gradientsOfSums(
    _ dy: Tensor, _ weights: RepeatedProduct, _ sums: UnsafeMutablePointer<Float>,
    _ hiddenSums: UnsafeMutablePointer<Float>, _ dh: UnsafeMutablePointer<Float>,
    _ dc: UnsafeMutablePointer<Float>
  ) throws {
    for step in (0..<steps).reversed() {
      if loopIsStopped() { throw VQError.interrupted(cell.rawValue) }
      let place = time(step)
      let (row, out) = (gates.floats + place * gateSize, sums + place * gateSize)
      let (y, kept) = (states.storage.floats, memory.floats + place * stateSize)
      accumulate(dy.storage.floats + place * stateSize, into: dh, count: stateSize)
      addProduct(hiddenSums, weights, beforeStep: step + 1, to: dh)
      switch cell {
      case .lstm:
        lstmStepGradient(
          row, before: before(step, c ?? h, memory.floats), kept, dy: dh, dc: dc, out,
          samples: samples, count: width)
      case .gru:
        gruStepGradient(
          row, kept, before: before(step, h, y), dy: dh, out, hidden: hiddenSums + place * gateSize,
          samples: samples, count: width)
      case .tanh, .relu:
        elmanStepGradient(
          rectified: cell == .relu, y + place * stateSize, dy: dh, out, samples: samples,
          count: width)
      }
      if cell != .gru { dh.update(repeating: 0, count: stateSize) }
    }
  }

  /// Adds to `dh`, of the state before a step, what comes through the product with the hidden
  /// weight; nothing behind the last step.
  private func addProduct(
    _ hiddenSums: UnsafePointer<Float>, _ weights: RepeatedProduct, beforeStep step: Int,
    to dh: UnsafeMutablePointer<Float>
  ) {
    guard step < steps else { return }
    weights.multiply(hiddenSums + time(step) * gateSize, adds: true, dh)
  }

  private func inputGradient(_ sums: Tensor) throws -> Tensor {
    let out = try Tensor.uninitialized(.float32, x.shape)
    try gemm(
      m: steps * samples, n: inputs, k: rowLength, sums.storage.floats, lda: rowLength,
      parameters.input.storage.floats, ldb: inputs, out.storage.floats, ldc: inputs)
    return out
  }

  private func inputWeightGradient(_ sums: Tensor) throws -> Tensor {
    let out = try Tensor.uninitialized(.float32, parameters.input.shape)
    try gemm(
      transposeA: true, m: rowLength, n: inputs, k: steps * samples, sums.storage.floats,
      lda: rowLength, x.storage.floats, ldb: inputs, out.storage.floats, ldc: inputs)
    return out
  }

  private func hiddenWeightGradient(_ sums: Tensor) throws -> Tensor {
    guard steps > 0 else { return try Tensor.zeros(parameters.hidden.shape) }
    let out = try Tensor.uninitialized(.float32, parameters.hidden.shape)
    // Steps behind the first one stand beside the states before them.
    let later = sums.storage.floats + (reversed ? 0 : gateSize)
    let earlier = states.storage.floats + (reversed ? stateSize : 0)
    try gemm(
      transposeA: true, m: rowLength, n: width, k: (steps - 1) * samples, later, lda: rowLength,
      earlier, ldb: width, out.storage.floats, ldc: width)
    try gemm(
      transposeA: true, m: rowLength, n: width, k: samples,
      sums.storage.floats + time(0) * gateSize, lda: rowLength, h.storage.floats, ldb: width,
      beta: 1, out.storage.floats, ldc: width)
    return out
  }
}
