import VQKernels
import VQNN
import VQTensor

/// The options of an `LFQ`.
public struct LFQOptions {
  /// Elements of a vector, each one bit of the code.
  public var bits: Int
  /// Weight of `mse(z, sg z_q)`.
  public var commitmentWeight: Float = 0
  /// Weight of the entropy loss.
  public var entropyWeight: Float = 0.1
  /// Weight of the entropy of the mean inside the entropy loss.
  public var diversity: Float = 1
  /// T of the entropy loss.
  public var temperature: Float = 0.01

  public init(bits: Int) { self.bits = bits }

  /// Bits of a code that is an int32 and not negative.
  static let codeLimit = 30
  /// Bits for which the mean probabilities of all codes are kept: 4 MB.
  static let entropyLimit = 20

  public static let table = OptionTable(LFQOptions(bits: 0)) {
    Option(
      "bits", \.bits, OptionRule("must be in 1...\(codeLimit)") { 1...codeLimit ~= $0 },
      isRequired: true)
    Option("commitment_weight", \.commitmentWeight, .atLeastZero)
    Option("entropy_weight", \.entropyWeight, .atLeastZero)
    Option("diversity", \.diversity, .atLeastZero)
      .needing("entropy_weight above 0") { $0.entropyWeight > 0 }
    Option("temperature", \.temperature, GumbelSchedule.range)
      .needing("entropy_weight above 0") { $0.entropyWeight > 0 }
  } agree: { options, operation in
    let limit = entropyLimit
    guard options.bits <= limit || options.entropyWeight == 0 || options.diversity == 0 else {
      throw VQError.value(
        operation, "bits", "\(options.bits)",
        "the entropy of the mean needs the probabilities of 2^bits codes, at most 2^\(limit): "
          + "set entropy_weight or diversity to 0")
    }
  }
}

/// Lookup-free quantization (Yu et al., "Language Model Beats Diffusion: Tokenizer Is Key to Visual
/// Generation", 2023): each element of a vector becomes its sign, +1 where it is positive and -1
/// elsewhere, and the signs are the bits of the code, the first element the highest.
///
/// The loss is `commitment_weight mse(z, sg z_q) + entropy_weight (mean_i H(p_i) - diversity
/// H(mean_i p_i))` in nats, with `p_i` the softmax over all 2^bits sign vectors c of `2 z_i . c /
/// T`. Gradients pass straight through the sign. There are no parameters.
public final class LFQ: Quantizer {
  public let options: LFQOptions

  override var name: String { "lfq" }
  public override var featureSize: Int { options.bits }
  public override var codeCount: Int { 1 << options.bits }

  public init(_ options: LFQOptions) throws {
    try LFQOptions.table.check(options, "lfq")
    self.options = options
  }

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    let result = try signs(of: rows)
    var (commitment, entropy): (Tensor?, Tensor?)
    if isQuantizing && options.commitmentWeight > 0 {
      commitment = try rows.meanSquaredError(result.output) * options.commitmentWeight
    }
    if isQuantizing && options.entropyWeight > 0 {
      entropy =
        try signEntropy(rows, temperature: options.temperature, diversity: options.diversity)
        * options.entropyWeight
    }
    let terms = [commitment, entropy].compactMap { $0 }
    let loss = try terms.dropFirst().reduce(terms.first ?? Tensor(scalar: 0)) { try $0 + $1 }
    return QuantizedRows(
      output: isQuantizing ? try straightThrough(from: rows, to: result.output) : rows,
      codes: result.codes, distances: result.distances, compared: rows, loss: loss,
      commitmentLoss: try commitment?.item() ?? 0, regularization: try entropy?.item() ?? 0,
      codeCount: codeCount)
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor { try signs(of: rows).codes }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    let (n, width) = (codes.shape[0], featureSize)
    return try Tensor("lfq.decode", shape: [n, width]) { out in
      codes.readCodes { signsOfCodes($0, rows: n, width: width, out) }
    }
  }

  private func signs(
    of rows: Tensor
  ) throws -> (output: Tensor, codes: Tensor, distances: Tensor) {
    let (n, width) = (rows.shape[0], featureSize)
    let codes = try Tensor(name, codeShape: [n]) { _ in }
    let distances = try Tensor(name, shape: [n]) { _ in }
    let output = try Tensor(name, shape: rows.shape) { output in
      rows.read { z in
        codes.mutateCodes { codes in
          distances.mutate {
            quantizeSigns(
              z, rows: n, width: width, output: output, codes: codes, squaredDistances: $0)
          }
        }
      }
    }
    return (output, codes, distances)
  }
}
