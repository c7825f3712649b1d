/// A convolution by Winograd's transform: 36 products for the 144 of 4x4 outputs of a 3x3 kernel or
/// the 100 of 2x2 outputs of a 5x5 one, 100 for the 256 of 4x4 outputs of a 4x4 kernel of stride 2,
/// seven for the 15 or 16 of a kernel along one axis (Lavin and Gray, "Fast Algorithms for
/// Convolutional Neural Networks", 2016).
///
/// Tiles are transformed, multiplied and transformed back by chunks that stay in the cache.
public struct WinogradConvolution {
  let tiles: any WinogradTiles
  /// From the gradient of the outputs to that of the inputs; each has inputs of its own.
  let transposed: [any WinogradTiles]

  /// Channels that every instruction set multiplies at once.
  static let channelStep = 32
  /// Filters that few tiles may share, and tiles that share more.
  private static let (mostFilters, leastTiles) = (1 << 16, 64)
  /// Elements of transformed weights that caches still hold.
  private static let mostWeights = 36 << 17

  /// The convolution from images of `window` to `outChannels`; nil where it does not apply or costs
  /// more than the plain one.
  public init?(
    images: Int, window w: Window, outChannels: Int, _ set: InstructionSet = .usable
  ) {
    let kernels = set == .usable ? WinogradKernels.usable : WinogradKernels(set)
    guard w.channels % Self.channelStep == 0, outChannels % Self.channelStep == 0
    else { return nil }
    if let planes = WinogradPlanes(
      images: images, window: w, outChannels: outChannels, kernels: kernels)
    {
      (tiles, transposed) = (planes, [planes.transposed])
    } else if let lines = WinogradLines(
      images: images, window: w, outChannels: outChannels, kernels: kernels)
    {
      (tiles, transposed) = (lines, [lines.transposed])
    } else if let phases = WinogradPhases(
      images: images, window: w, outChannels: outChannels, kernels: kernels)
    {
      (tiles, transposed) = (phases, phases.transposed)
    } else {
      return nil
    }
    guard tiles.tiles > 0,
      w.channels * outChannels <= Self.mostFilters || tiles.tiles >= Self.leastTiles,
      tiles.form.points * tiles.form.sections * w.channels * outChannels <= Self.mostWeights
    else { return nil }
  }

  /// Elements that `convolve` and `convolveTransposed` need besides their operands.
  public func scratchCount(threads: Int) -> Int {
    ([tiles] + transposed).map { $0.scratchCount(threads: threads) }.max()!
  }

  /// `out` = the convolution of `x` [images, height, width, inputs] with `weights` [outputs,
  /// inputs, kernel], plus `bias` [outputs] where there is one. Tiles with an output that sees
  /// little of them take direct sums; false, and nothing written, where many would or the weights
  /// are uneven.
  public func convolve(
    _ x: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    _ out: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, threads: Int
  ) -> Bool {
    tiles.convolve(x, weights, flipped: false, bias: bias, out, scratch, threads)
  }

  /// `out` = the gradient of the inputs from that of the outputs, plus `bias` [inputs] where there
  /// is one; false as `convolve`, but that some inputs may have been written.
  public func convolveTransposed(
    _ gradient: UnsafePointer<Float>, _ weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ out: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>, threads: Int
  ) -> Bool {
    transposed.allSatisfy {
      $0.convolve(gradient, weights, flipped: true, bias: bias, out, scratch, threads)
    }
  }
}

/// What all tiles read besides the images.
private struct Operands {
  let weights, directWeights, zeros: UnsafePointer<Float>
  let bias: UnsafePointer<Float>?
}

extension WinogradTiles {
  /// Tiles of a chunk, a multiple of the products' rows: the more weights, the more tiles share the
  /// reading of them.
  var mostChunkTiles: Int {
    (form.points > 7 && form.sections * inputs * outputs <= 1 << 13 ? 3 : 11) * kernels.rows
  }

  /// From the tiles of one point to those of the next; the rest keeps points off the same cache
  /// set.
  func inputStride(_ channels: Int) -> Int { form.phases * capacity * channels + 16 }
  func outputStride(_ channels: Int) -> Int { capacity * channels + 16 }

  /// Tiles of a chunk and those that its last outputs see behind it.
  var capacity: Int { mostChunkTiles + form.parts - 1 }

  /// As many chunks for each thread.
  private func chunkTiles(threads: Int) -> Int {
    let chunks = (tiles + mostChunkTiles - 1) / mostChunkTiles
    let shared = (chunks + threads - 1) / threads * threads
    let size = (tiles + shared - 1) / shared
    return (size + kernels.rows - 1) / kernels.rows * kernels.rows
  }

  fileprivate func scratchCount(threads: Int) -> Int {
    let widest = max(inputs, outputs)
    return (form.points * form.sections + form.taps + (order?.places.count ?? 0)) * inputs * outputs
      + 3 * widest + threads * slotCount + markScratchCount + tiles
  }

  /// A tile's direct sums read the pixels of fewer outputs than a chunk has points.
  private var slotCount: Int {
    form.points * (inputStride(inputs) + outputStride(outputs)) + max(inputs, outputs)
  }

  fileprivate func convolve(
    _ x: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, flipped: Bool,
    bias: UnsafePointer<Float>?, _ out: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutablePointer<Float>, _ threads: Int
  ) -> Bool {
    let points = scratch
    let directWeights = points + form.points * form.sections * inputs * outputs
    let ordered = directWeights + form.taps * inputs * outputs
    let zeros = ordered + (order?.places.count ?? 0) * inputs * outputs
    let share = zeros + 2 * max(inputs, outputs)
    let grids = share + inputs
    let marks = grids + markScratchCount
    let slots = ScratchSlots(marks + tiles, count: threads, stride: slotCount)

    var weights = weights
    if let order {
      order.arrange(weights, filters: inputs * outputs, ordered)
      weights = UnsafePointer(ordered)
    }
    let kind = WinogradWeights(weights, self, flipped: flipped, share: share)
    guard kind.areEven else { return false }
    return marks.withMemoryRebound(to: Bool.self, capacity: tiles) { isUneven in
      let uneven = markUneven(x, kind, isUneven, scratch: grids)
      guard 4 * uneven <= tiles else { return false }
      zeros.update(repeating: 0, count: 2 * max(inputs, outputs))
      transform(weights, flipped: flipped, points)
      if uneven > 0 { arrange(weights, flipped: flipped, directWeights) }
      convolve(
        x, Operands(weights: points, directWeights: directWeights, zeros: zeros, bias: bias),
        isUneven, out, slots, chunk: chunkTiles(threads: threads))
      return true
    }
  }

  private func convolve(
    _ x: UnsafePointer<Float>, _ operands: Operands, _ isUneven: UnsafePointer<Bool>,
    _ out: UnsafeMutablePointer<Float>, _ slots: ScratchSlots, chunk: Int
  ) {
    let (inputs, outputs, form) = (inputs, outputs, form)
    let (kernels, transforms) = (kernels, transforms)
    let (inputStride, outputStride) = (inputStride(inputs), outputStride(outputs))
    let rowLength = form.phases * inputs
    let bias = operands.bias ?? operands.zeros
    parallelFor(tiles, grain: chunk) { range in
      slots.borrow { slot in
        let products = slot + form.points * inputStride
        let discarded = products + form.points * outputStride
        let read = range.lowerBound..<range.upperBound + form.parts - 1
        withPatches(read, x, channels: inputs, offset: 0, outside: operands.zeros) { patches in
          withOutputs(range, out, channels: outputs, offset: 0, outside: discarded) { targets in
            let phaseStep = read.count * form.pixels
            for phase in 0..<form.phases {
              transforms.patches(
                patches + phase * phaseStep, read.count, inputs, slot + phase * inputs, inputStride,
                rowLength, 1)
            }
            kernels.multiplyPoints(
              slot, inputStride, rowLength, operands.weights, products, outputStride, form.points,
              range.count, form.sections * inputs, outputs)
            transforms.outputs(
              products, outputStride, form.outputSide, range.count, outputs, bias, targets)
            for tile in range where isUneven[tile] {
              let index = tile - range.lowerBound
              multiplyDirectly(
                patches + form.pixels * index, phaseStep, operands.directWeights, bias, slot,
                products, targets + form.outputs * index)
            }
          }
        }
      }
    }
  }

  /// The outputs of a tile from its pixels; `gathered` holds [outputs, taps, inputs], `products`
  /// [outputs, output channels], both with as many outputs as products take at once.
  private func multiplyDirectly(
    _ patch: WinogradKernels.Sources, _ phaseStep: Int, _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>, _ gathered: UnsafeMutablePointer<Float>,
    _ products: UnsafeMutablePointer<Float>, _ targets: WinogradKernels.Targets
  ) {
    let depth = form.taps * inputs
    for output in 0..<form.outputs {
      for tap in 0..<form.taps {
        (gathered + output * depth + tap * inputs)
          .update(from: patch[form.pixel(output, tap, phaseStep: phaseStep)], count: inputs)
      }
    }
    kernels.multiplyPoints(
      gathered, 0, depth, weights, products, 0, 1, form.outputs, depth, outputs)
    for output in 0..<form.outputs {
      let (sum, target) = (products + output * outputs, targets[output])
      for o in 0..<outputs { target[o] = sum[o] + bias[o] }
    }
  }
}

// MARK: - Weights

extension WinogradTiles {
  /// `out` [points, panels, sections, inputs, columns of a product] from [outputs, inputs, taps],
  /// or from [inputs, outputs, taps] with the taps in reverse.
  private func transform(
    _ weights: UnsafePointer<Float>, flipped: Bool, _ out: UnsafeMutablePointer<Float>
  ) {
    let (inputs, outputs, form) = (inputs, outputs, form)
    let (transforms, columns) = (transforms, kernels.columns)
    let (ofInput, ofOutput) =
      flipped ? (outputs * form.taps, form.taps) : (form.taps, inputs * form.taps)
    let depth = form.sections * inputs
    parallelFor(outputs / columns, grain: 1) { panels in
      let rows = WinogradConvolution.channelStep
      let count = rows * columns
      withUnsafeTemporaryAllocation(of: Float.self, capacity: form.partTaps * count) { buffer in
        let taps = buffer.baseAddress!
        for panel in panels {
          for row in stride(from: 0, to: inputs, by: rows) {
            let filters = weights + panel * columns * ofOutput + row * ofInput
            for part in 0..<form.sections {
              let first = part * form.partTaps
              let present = min(form.partTaps, form.taps - first)
              spreadTaps(
                filters + (flipped ? form.taps - 1 - first : first), taps: present,
                step: flipped ? -1 : 1, rows: rows, apart: ofInput, columns: columns,
                apart: ofOutput, taps)
              (taps + present * count)
                .update(repeating: 0, count: (form.partTaps - present) * count)
              transforms.weights(
                taps, form.tapSide, count,
                out + (panel * depth + part * inputs + row) * columns, depth * outputs)
            }
          }
        }
      }
    }
  }

  /// `out` [panels, taps, inputs, columns of a product] from the weights as `transform` reads them.
  private func arrange(
    _ weights: UnsafePointer<Float>, flipped: Bool, _ out: UnsafeMutablePointer<Float>
  ) {
    let columns = kernels.columns
    for i in 0..<inputs {
      for o in 0..<outputs {
        let filter = weights + form.taps * (flipped ? i * outputs + o : o * inputs + i)
        let panel = out + o / columns * columns * form.taps * inputs + o % columns
        for tap in 0..<form.taps {
          panel[(tap * inputs + i) * columns] = filter[flipped ? form.taps - 1 - tap : tap]
        }
      }
    }
  }
}

/// `out[t, i, j] = filters[i, j][t step]`, [taps, rows, columns], of filters that lie `apart`.
private func spreadTaps(
  _ filters: UnsafePointer<Float>, taps: Int, step: Int, rows: Int, apart ofRows: Int,
  columns: Int, apart ofColumns: Int, _ out: UnsafeMutablePointer<Float>
) {
  @inline(__always)
  func spread(_ i: Int, _ j: Int) {
    let (filter, target) = (filters + i * ofRows + j * ofColumns, out + i * columns + j)
    for t in 0..<taps { target[t * rows * columns] = filter[t * step] }
  }
  if ofRows < ofColumns {
    for j in 0..<columns { for i in 0..<rows { spread(i, j) } }
  } else {
    for i in 0..<rows { for j in 0..<columns { spread(i, j) } }
  }
}
