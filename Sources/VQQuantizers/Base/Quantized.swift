import VQTensor

/// What a quantizer makes of vectors `z` [..., d].
public struct Quantized {
  /// The codes' values, z's shape (its last axis the size of a code), 0 where a mask leaves a
  /// vector out.
  public let zq: Tensor
  /// Codes, int32 [..., code axes...], -1 where there is none.
  public let q: Tensor
  /// Squared distances of what was compared to its code, q's shape.
  public let d: Tensor
  /// The vectors as they were compared: after projection and norm.
  public let z: Tensor
  /// What to add, times alpha, to the task's loss: a scalar.
  public let loss: Tensor
  /// The encoder's part of the loss, `(1 - beta) mse`.
  public let commitmentLoss: Float
  /// The codebook's part of the loss, `beta mse`.
  public let codebookLoss: Float
  /// The rest of the loss: orthogonal, entropy or other regularisers.
  public let regularization: Float
  /// `2^H` of the use of codes in this batch, H its entropy in bits; the mean over codebooks or
  /// stages.
  public let perplexity: Float
  /// Codes in use in this batch, of all codebooks.
  public let activeCodes: Int
  /// The commitment loss of each stage or group that has one of its own, [stages]; else of the
  /// layer, [1]. With `regularization` their sum, in groups their mean, is the loss.
  public let stageLosses: Tensor
  /// The perplexity of each, the shape of `stageLosses`.
  public let stagePerplexities: Tensor
}
