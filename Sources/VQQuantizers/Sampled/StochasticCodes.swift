import VQKernels
import VQTensor

/// Codes drawn with probability `p_ij ~ exp(-|z_i - E_j|^2 / temperature)` (Huh et al. 2023, eq.
/// 12), int32 [n], by Gumbel-max: `argmin_j |z_i - E_j|^2 - temperature g_ij` in Float64. As the
/// temperature falls to 0 they become the nearest codes.
///
/// The draw of (i, j) depends on nothing but the generator's place and the two indices.
///
/// - Parameters:
///   - z: [n, d], n at least 1.
///   - codebook: E [k, d].
///   - temperature: above 0.
///   - generator: gives one word a vector and code, k rounded up to a multiple of 4.
func sampleCodes(
  _ z: Tensor, _ codebook: Tensor, temperature: Float, generator: Generator
) throws -> Tensor {
  let operation = "sample_codes"
  try requireMatrices(operation, z, codebook)
  guard z.shape[0] > 0 else {
    throw VQError.empty(operation, z.shape, "at least one vector is required")
  }
  try requireTemperature(operation, temperature)
  let (n, d, k) = (z.shape[0], z.shape[1], codebook.shape[0])
  let (words, overflow) = n.multipliedReportingOverflow(by: (k + 3) / 4 * 4)
  guard !overflow else { throw VQError.overflow(operation, [n, k]) }
  try prepareProducts(beside: searchBytes(rows: n, codes: k, width: d))
  let state = generator.words(words)
  return try Tensor(operation, codeShape: [n]) { codes in
    let bad = z.read { points in
      codebook.read {
        sampledCode(
          points, count: n, $0, codes: k, width: d, temperature: temperature, state: state, codes)
      }
    }
    try requireFinite(operation, bad, ("z", z), ("codebook", codebook))
  }
}
