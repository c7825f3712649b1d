import Testing
import VQKernels

@testable import VQTensor

/// Convolution by definition, in Float64.
struct ConvolutionReference {
  let geometry: ConvolutionGeometry

  /// Calls `body` with the flat places that one multiplication joins.
  private func forEachTap(_ body: (_ output: Int, _ input: Int, _ weight: Int) -> Void) {
    let (g, w) = (geometry, geometry.window)
    for n in 0..<g.images {
      for oy in 0..<w.outHeight {
        for ox in 0..<w.outWidth {
          for ky in 0..<w.kernelHeight {
            for kx in 0..<w.kernelWidth {
              let y = oy * w.strideHeight - w.paddingHeight + ky
              let x = ox * w.strideWidth - w.paddingWidth + kx
              guard y >= 0, y < w.height, x >= 0, x < w.width else { continue }
              for o in 0..<g.outChannels {
                for i in 0..<w.channels {
                  body(
                    ((n * w.outHeight + oy) * w.outWidth + ox) * g.outChannels + o,
                    ((n * w.height + y) * w.width + x) * w.channels + i,
                    ((o * w.channels + i) * w.kernelHeight + ky) * w.kernelWidth + kx)
                }
              }
            }
          }
        }
      }
    }
  }

  func forward(_ x: [Float], _ weight: [Float]) -> [Double] {
    var y = [Double](repeating: 0, count: geometry.outputCount)
    forEachTap { y[$0] += Double(x[$1]) * Double(weight[$2]) }
    return y
  }

  func backwardData(_ gradient: [Float], _ weight: [Float]) -> [Double] {
    var x = [Double](repeating: 0, count: geometry.inputCount)
    forEachTap { x[$1] += Double(gradient[$0]) * Double(weight[$2]) }
    return x
  }

  func backwardWeights(_ gradient: [Float], _ x: [Float]) -> [Double] {
    var weight = [Double](repeating: 0, count: geometry.weightCount)
    forEachTap { weight[$2] += Double(gradient[$0]) * Double(x[$1]) }
    return weight
  }
}

/// Numbers in -1..<1 from a 64-bit linear congruential generator.
func noise(_ shape: [Int], seed: UInt64) throws -> Tensor {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  let values = (0..<shape.reduce(1, *)).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(1 << 31)
  }
  return try Tensor(values, shape: shape)
}

/// Sum over the rows of `[rows, columns]`, in Float64.
func columnSums(_ values: [Float], columns: Int) -> [Double] {
  var sums = [Double](repeating: 0, count: columns)
  for (index, value) in values.enumerated() { sums[index % columns] += Double(value) }
  return sums
}

/// Expects every value within `tolerance` of the reference.
func expectClose(
  _ found: Tensor?, _ expected: [Double], tolerance: Double,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let values = try #require(found, sourceLocation: sourceLocation).values
  try #require(values.count == expected.count, sourceLocation: sourceLocation)
  let worst = zip(values, expected).map { abs(Double($0) - $1) }.max() ?? 0
  #expect(worst <= tolerance, sourceLocation: sourceLocation)
}

/// Compares the gradients that backward gives with central differences of `sum(cotangent * f)`.
///
/// With a step h a difference carries a rounding error of about eps * sum|c * f| / h and, where `f`
/// bends, one of h^2: `tolerance` must cover both.
func expectCentralDifferences(
  _ inputs: [Tensor], step: Float = 0x1p-6, tolerance: Double,
  sourceLocation: SourceLocation = #_sourceLocation, _ function: ([Tensor]) throws -> Tensor
) throws {
  let leaves = try inputs.map { try $0.requiringGrad() }
  let y = try function(leaves)
  let cotangent = try noise(y.shape, seed: 99)
  try y.backward(cotangent)
  func projected(_ inputs: [Tensor]) throws -> Double {
    zip(try function(inputs).values, cotangent.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
  for (index, input) in inputs.enumerated() {
    var expected: [Double] = []
    for i in 0..<input.count {
      func moved(by amount: Float) throws -> Double {
        var values = input.values
        values[i] += amount
        var changed = inputs
        changed[index] = try Tensor(values, shape: input.shape)
        return try projected(changed)
      }
      expected.append((try moved(by: step) - moved(by: -step)) / Double(2 * step))
    }
    try expectClose(
      leaves[index].grad, expected, tolerance: tolerance, sourceLocation: sourceLocation)
  }
}

/// Expects a `VQError` with exactly this text.
func expectError(
  _ text: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Tensor
) {
  do {
    _ = try body()
    Issue.record("no error", sourceLocation: sourceLocation)
  } catch {
    #expect("\(error)" == text, sourceLocation: sourceLocation)
  }
}
