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
              let output = ((n * w.outHeight + oy) * w.outWidth + ox) * g.outChannels
              let input = ((n * w.height + y) * w.width + x) * w.channels
              let (tap, taps) = (ky * w.kernelWidth + kx, w.kernelHeight * w.kernelWidth)
              var weight = 0  // of output and input channel; a range is slow in a debug build
              while weight < g.outChannels * w.channels {
                body(
                  output + weight / w.channels, input + weight % w.channels, weight * taps + tap)
                weight += 1
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

/// Sum over the rows of `[rows, columns]`, in Float64.
func columnSums(_ values: [Float], columns: Int) -> [Double] {
  var sums = [Double](repeating: 0, count: columns)
  for (index, value) in values.enumerated() { sums[index % columns] += Double(value) }
  return sums
}
