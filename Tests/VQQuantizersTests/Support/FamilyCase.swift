import Testing

@testable import VQQuantizers

/// A quantizer without nearest codes, how to make it and its input, for tests of what all have in
/// common.
struct FamilyCase: CustomTestStringConvertible, Sendable {
  let name: String
  let width: Int
  let make: @Sendable (_ seed: UInt64) throws -> Quantizer
  /// Whether forwards take a log variance of z's shape.
  var takesLogVariance = false

  var testDescription: String { name }

  func quantize(
    _ layer: Quantizer, _ z: Tensor, logVariance: Tensor, mask: Tensor? = nil
  ) throws -> Quantized {
    guard takesLogVariance else { return try layer.quantize(z, mask: mask) }
    return try (layer as! SQVAEQuant).quantize(z, logVariance: logVariance, mask: mask)
  }

  func encode(
    _ layer: Quantizer, _ z: Tensor, logVariance: Tensor, mask: Tensor? = nil
  ) throws -> Tensor {
    guard takesLogVariance else { return try layer.encode(z, mask: mask) }
    return try (layer as! SQVAEQuant).encode(z, logVariance: logVariance, mask: mask)
  }

  static let all: [FamilyCase] =
    [
      FamilyCase(name: "FSQ", width: 3) { _ in try FSQ(levels: [5, 4, 3]) },
      FamilyCase(name: "LFQ", width: 5) { _ in
        var options = LFQOptions(bits: 5)
        options.commitmentWeight = 0.25
        options.temperature = 1
        return try LFQ(options)
      },
      gumbel("Gumbel") { $0.schedule.decay = 0.9 },
      gumbel("Gumbel, hard, narrow codes") {
        $0.isHard = true
        $0.codeSize = 2
      },
    ] + [VarianceKind.shared, .sample, .vector, .element].map(gaussian)

  private static func gumbel(
    _ name: String, _ change: @escaping @Sendable (inout GumbelQuantOptions) -> Void
  ) -> FamilyCase {
    FamilyCase(name: name, width: 4) { seed in
      var options = GumbelQuantOptions(featureSize: 4, codeCount: 11)
      options.seed = seed
      change(&options)
      return try GumbelQuant(options)
    }
  }

  private static func gaussian(_ kind: VarianceKind) -> FamilyCase {
    FamilyCase(
      name: "Gaussian \(kind.optionName)", width: 4,
      make: { seed in
        var options = SQVAEQuantOptions(featureSize: 4, codeCount: 11)
        options.kind = kind
        options.seed = seed
        return try SQVAEQuant(options)
      }, takesLogVariance: kind != .shared)
  }
}
