import VQTensor

/// What quantizing rows [m, d] gives. That of groups or stages adds up.
struct QuantizedRows {
  /// [m, d].
  var output: Tensor
  /// Int32 [m, code axes...].
  var codes: Tensor
  /// [m, code axes...].
  var distances: Tensor
  /// The rows as they were compared, [m, c].
  var compared: Tensor
  /// A scalar: the losses of stages and regularizers.
  var loss: Tensor
  var commitmentLoss: Float
  var codebookLoss: Float
  var regularization: Float
  /// Of each stage or group, scalars.
  var stageLosses: [Tensor]
  var perplexities: [Double]
  /// Codes in use, of all codebooks.
  var activeCodes: Int
}

extension QuantizedRows {
  /// One code of `codeCount` for each row, and one loss.
  init(
    output: Tensor, codes: Tensor, distances: Tensor, compared: Tensor, loss: Tensor,
    commitmentLoss: Float = 0, regularization: Float = 0, codeCount: Int
  ) {
    let usage = usage(of: codes, codeCount: codeCount)
    self.init(
      output: output, codes: codes, distances: distances, compared: compared, loss: loss,
      commitmentLoss: commitmentLoss, codebookLoss: 0, regularization: regularization,
      stageLosses: [loss], perplexities: [usage.perplexity], activeCodes: usage.active)
  }

  /// The sum of `parts`, whose codes and distances [m] become columns, [m, parts].
  init(adding parts: [QuantizedRows], output: Tensor, compared: Tensor) throws {
    self.init(
      output: output, codes: try .stack(parts.map(\.codes), axis: 1),
      distances: try .stack(parts.map(\.distances), axis: 1), compared: compared,
      loss: try .sum(of: parts.map(\.loss)),
      commitmentLoss: parts.map(\.commitmentLoss).reduce(0, +),
      codebookLoss: parts.map(\.codebookLoss).reduce(0, +),
      regularization: parts.map(\.regularization).reduce(0, +),
      stageLosses: parts.flatMap(\.stageLosses), perplexities: parts.flatMap(\.perplexities),
      activeCodes: parts.map(\.activeCodes).reduce(0, +))
  }

  /// The losses divided by `count`; those of stages or groups stay.
  func averaged(over count: Float) throws -> QuantizedRows {
    var result = self
    result.loss = try loss / count
    result.commitmentLoss /= count
    result.codebookLoss /= count
    result.regularization /= count
    return result
  }
}

extension Tensor {
  /// The sum of tensors of one shape, in order.
  static func sum(of tensors: [Tensor]) throws -> Tensor {
    try tensors.dropFirst().reduce(tensors[0]) { try $0 + $1 }
  }
}
