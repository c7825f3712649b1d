import VQKernels
import VQNN
import VQTensor

/// The state that the gradients of a forward depend on, as it was where they read it: a training
/// forward changes it before and after.
final class ForwardTrace {
  private var copies: [ObjectIdentifier: Tensor] = [:]

  /// Keeps the elements of a parameter or buffer as they are now.
  func note(_ tensor: Tensor) throws { copies[ObjectIdentifier(tensor)] = try tensor.copied() }

  /// What was kept of a module's state, by name.
  func state(of module: Module) -> [NamedTensor] {
    module.state.compactMap { name, tensor in copies[ObjectIdentifier(tensor)].map { (name, $0) } }
  }
}

extension Quantizer {
  /// Quantizes as `body` does, which calls `quantize`, without a tape.
  ///
  /// - Returns: besides, the state that `pullback` needs, by name: what is not there is as before
  ///   the forward. After an error the layer's state is undefined.
  public final func traced(
    _ body: () throws -> Quantized
  ) throws -> (result: Quantized, state: [NamedTensor]) {
    let trace = ForwardTrace()
    self.trace = trace
    defer { self.trace = nil }
    let result = try withoutGradients(body)
    return (result, trace.state(of: self))
  }

  /// The gradients of a forward that gave `codes`, in the state that `traced` told of it.
  ///
  /// Nothing is looked up again. The layer's state is undefined afterwards: draws are repeated.
  ///
  /// - Parameters:
  ///   - cotangents: the gradients of the forward's results.
  ///   - inputs: what the forward was of, by name.
  ///   - codes: the forward's, int32 [..., code axes...]; -1 for vectors that are left out.
  ///   - body: calls `quantize` of leaves over `inputs`.
  /// - Returns: the gradients in `inputs`, `trainableParameters` and `synchronizedCodebooks`, by
  ///   name.
  public final func pullback(
    _ cotangents: QuantizedCotangents, of inputs: [NamedTensor], mask: Tensor?, codes: Tensor,
    _ body: ([Tensor]) throws -> Quantized
  ) throws -> [NamedTensor] {
    guard let z = inputs.first?.tensor, codes.dtype == .int32,
      codes.shape.starts(with: z.shape.dropLast())
    else {
      throw VQError.shape(
        "\(name).pullback", [codes.shape] + inputs.map(\.tensor.shape),
        "codes must be int32 of z's shape with code axes in the place of channels")
    }
    let selection = try selection(z, mask)
    let rows = try selection.codes(of: codes, axes: Array(codes.shape.dropFirst(z.rank - 1)))
    if let code = rows.readCodes({
      firstCodeOutOfRange($0, count: rows.count, from: -1, bound: codeCount)
    }) {
      throw VQError.index("\(name).pullback", value: Int(code), bound: codeCount)
    }
    try repeatCodes(rows)
    isRepeating = true
    defer {
      isRepeating = false
      try? repeatCodes(nil)
    }
    let leaves = try inputs.map { try $0.tensor.detached().requiringGrad(.weight) }
    let root = try withGradients { try cotangents.root(of: body(leaves)) }
    let variables: [NamedTensor] =
      zip(inputs, leaves).map { ($0.name, $1) } + trainableParameters
      + synchronizedCodebooks.map { ("codebook", $0) }
    let gradients = try root.gradients(of: variables.map(\.tensor))
    return zip(variables, gradients).map { ($0.name, $1) }
  }
}

/// Gradients of the results of a forward; nil for 0.
public struct QuantizedCotangents {
  /// Of `zq`, `loss`, `z` and `stageLosses`.
  let output: Tensor?
  let loss: Tensor?
  let compared: Tensor?
  let stageLosses: Tensor?

  public init(output: Tensor?, loss: Tensor?, compared: Tensor?, stageLosses: Tensor?) {
    (self.output, self.loss) = (output, loss)
    (self.compared, self.stageLosses) = (compared, stageLosses)
  }

  /// A scalar whose gradient gives the results of a forward theirs.
  fileprivate func root(of result: Quantized) throws -> Tensor {
    let pairs = [
      (result.zq, output), (result.loss, loss), (result.z, compared),
      (result.stageLosses, stageLosses),
    ].compactMap { result, gradient in gradient.map { (result, $0) } }
    for (result, gradient) in pairs where result.shape != gradient.shape {
      throw VQError.shape(
        "pullback", [gradient.shape, result.shape], "a gradient has the shape of its result")
    }
    return try Tensor(scalar: 0).recorded("quantizer", inputs: pairs.map(\.0)) { _, _ in
      pairs.map(\.1)
    }
  }
}
