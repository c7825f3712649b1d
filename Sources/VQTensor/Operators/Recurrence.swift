import VQKernels

/// What one step of a recurrent layer computes; gates in torch's order.
public enum RecurrentCell: String, CaseIterable {
  /// `h = tanh(W x + U h + b)` (Elman 1990).
  case tanh = "rnn_tanh"
  /// The same with a rectifier.
  case relu = "rnn_relu"
  /// Gates r, z, n (Cho et al. 2014), the reset after the product.
  case gru
  /// Gates i, f, g, o (Hochreiter and Schmidhuber 1997, Gers et al. 2000).
  case lstm

  public var gates: Int {
    switch self {
    case .tanh, .relu: 1
    case .gru: 3
    case .lstm: 4
    }
  }
}

/// The parameters of a recurrent layer of i inputs and h outputs in one direction, g gates.
public struct RecurrentParameters {
  /// [g h, i]
  public let input: Tensor
  /// [g h, h]
  public let hidden: Tensor
  /// [g h]; nil for 0
  public let inputBias: Tensor?
  public let hiddenBias: Tensor?

  public init(input: Tensor, hidden: Tensor, inputBias: Tensor? = nil, hiddenBias: Tensor? = nil) {
    (self.input, self.hidden) = (input, hidden)
    (self.inputBias, self.hiddenBias) = (inputBias, hiddenBias)
  }
}

extension Tensor {
  /// A recurrent layer over this sequence [t, n, i] in one direction.
  ///
  /// - Parameters:
  ///   - h: the state before the first step [n, h].
  ///   - c: an LSTM's cell before it [n, h]; nil for others.
  ///   - reversed: from the last step to the first.
  /// - Returns: the states h of all steps [t, n, h], and an LSTM's cell after the last one [n, h].
  public func recurrence(
    _ cell: RecurrentCell, h: Tensor, c: Tensor? = nil, _ parameters: RecurrentParameters,
    reversed: Bool = false
  ) throws -> (states: Tensor, cell: Tensor?) {
    let run = try RecurrentRun(cell, self, h, c, parameters, reversed: reversed)
    try interruptible(cell.rawValue, run.forward)
    let absent = try Tensor.zeros([0])
    let inputs = [
      self, h, c ?? absent, parameters.input, parameters.hidden, parameters.inputBias ?? absent,
      parameters.hiddenBias ?? absent,
    ]
    let saved = [self, h, c ?? absent, parameters.input, parameters.hidden, run.states].map {
      Saved($0)
    }
    let cellGradient = CellGradient()
    let states = run.states.recorded(cell.rawValue, inputs: inputs) { gradient, needs in
      for each in saved { _ = try each.tensor(cell.rawValue) }
      return try run.gradients(gradient, cellGradient.take(), needs)
    }
    guard let last = try run.lastCell() else { return (states, nil) }
    return (
      states,
      last.recorded(cell.rawValue, inputs: [states]) { gradient, _ in
        // It goes on with the gradient of the states, which comes next.
        cellGradient.value = gradient
        return [try Tensor.zeros(run.states.shape)]
      }
    )
  }
}

/// The gradient of the last cell, until that of the states is computed.
private final class CellGradient {
  var value: Tensor?

  func take() -> Tensor? {
    defer { value = nil }
    return value
  }
}
