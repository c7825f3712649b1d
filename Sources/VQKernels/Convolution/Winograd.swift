/// A 3x3 convolution of stride 1 by F(4x4, 3x3): 36 products for the 144 of a tile of 4x4 outputs
/// (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
///
/// Tiles are transformed, multiplied and transformed back by chunks that stay in the cache.
public struct WinogradConvolution {
  let images, height, width, outHeight, outWidth: Int
  let paddingHeight, paddingWidth: Int
  /// Channels, multiples of `channelStep`.
  let inputs, outputs: Int
  let kernels: WinogradKernels

  /// Channels that every instruction set multiplies at once.
  static let channelStep = 32
  /// Filters whose transforms, 36 elements each, still stay near; beyond, reading them costs what
  /// it saves.
  static let mostFilters = 1 << 16
  /// Products of a tile, and taps of a filter.
  static let (points, taps) = (36, 9)

  /// The convolution from images of `window` to `outChannels`; nil where it does not apply or costs
  /// more than the plain one.
  public init?(
    images: Int, window w: Window, outChannels: Int, _ set: InstructionSet = .usable
  ) {
    guard w.kernelHeight == 3, w.kernelWidth == 3, w.strideHeight == 1, w.strideWidth == 1,
      w.dilationHeight == 1, w.dilationWidth == 1,
      w.paddingHeight <= 2, w.paddingWidth <= 2, w.channels % Self.channelStep == 0,
      outChannels % Self.channelStep == 0, w.channels * outChannels <= Self.mostFilters
    else { return nil }
    self.init(
      images: images, height: w.height, width: w.width, outHeight: w.outHeight,
      outWidth: w.outWidth, paddingHeight: w.paddingHeight, paddingWidth: w.paddingWidth,
      inputs: w.channels, outputs: outChannels,
      kernels: set == .usable ? .usable : WinogradKernels(set))
    guard tiles > 0, 2 * Self.points * tiles <= Self.taps * images * outHeight * outWidth else {
      return nil
    }
  }

  private init(
    images: Int, height: Int, width: Int, outHeight: Int, outWidth: Int, paddingHeight: Int,
    paddingWidth: Int, inputs: Int, outputs: Int, kernels: WinogradKernels
  ) {
    (self.images, self.height, self.width) = (images, height, width)
    (self.outHeight, self.outWidth) = (outHeight, outWidth)
    (self.paddingHeight, self.paddingWidth) = (paddingHeight, paddingWidth)
    (self.inputs, self.outputs, self.kernels) = (inputs, outputs, kernels)
  }

  /// The convolution from the gradient of the outputs to that of the inputs.
  var transposed: WinogradConvolution {
    WinogradConvolution(
      images: images, height: outHeight, width: outWidth, outHeight: height, outWidth: width,
      paddingHeight: 2 - paddingHeight, paddingWidth: 2 - paddingWidth, inputs: outputs,
      outputs: inputs, kernels: kernels)
  }

  var tileRows: Int { (outHeight + 3) / 4 }
  var tileColumns: Int { (outWidth + 3) / 4 }
  var tiles: Int { images * tileRows * tileColumns }

  /// Tiles of a chunk: the more weights, the more tiles share the reading of them.
  var chunkTiles: Int { inputs * outputs <= 1 << 13 ? 16 : 64 }
  var chunks: Int { (tiles + chunkTiles - 1) / chunkTiles }

  /// From the tiles of one point to those of the next; the rest keeps points off the same cache
  /// set.
  func pointStride(_ channels: Int) -> Int { chunkTiles * channels + 16 }
}

// MARK: - Forward and the inputs' gradient

extension WinogradConvolution {
  /// Elements that `convolve` and `convolveTransposed` need besides their operands.
  public func scratchCount(threads: Int) -> Int {
    let widest = max(inputs, outputs)
    return (Self.points + Self.taps) * inputs * outputs + 3 * widest + threads * slotCount
      + 2 * max(inputGridCount, transposed.inputGridCount) + tiles + transposed.tiles
  }

  /// A tile's direct sums read 16 patches and give 16 outputs, fewer than its chunk's points.
  private var slotCount: Int {
    Self.points * (pointStride(inputs) + pointStride(outputs)) + max(inputs, outputs)
  }

  /// `out` = the convolution of `x` [images, height, width, inputs] with `weights` [outputs,
  /// inputs, 3, 3], plus `bias` [outputs] where there is one. Tiles with an output that sees little
  /// of them take direct sums; false, and nothing written, where many would or the weights are
  /// uneven.
  public func convolve(
    _ x: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    _ out: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, threads: Int
  ) -> Bool {
    convolve(x, weights, flipped: false, bias: bias, out, scratch, threads)
  }

  /// `out` = the gradient of the inputs from that of the outputs, plus `bias` [inputs] where there
  /// is one; false as `convolve`.
  public func convolveTransposed(
    _ gradient: UnsafePointer<Float>, _ weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ out: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>, threads: Int
  ) -> Bool {
    transposed.convolve(gradient, weights, flipped: true, bias: bias, out, scratch, threads)
  }

  /// `out` [points, inputs, outputs] from [outputs, inputs, 3, 3], or from [inputs, outputs, 3, 3]
  /// with the taps in reverse.
  private func transform(
    _ weights: UnsafePointer<Float>, flipped: Bool, _ out: UnsafeMutablePointer<Float>
  ) {
    let (inputs, outputs, kernels) = (inputs, outputs, kernels)
    parallelFor(inputs, grain: 8) { range in
      let count = range.count * outputs
      withUnsafeTemporaryAllocation(
        of: Float.self, capacity: (Self.taps + Self.points) * count
      ) { buffer in
        let taps = buffer.baseAddress!
        let transformed = taps + Self.taps * count
        for row in range {
          let target = taps + (row - range.lowerBound) * outputs
          if flipped {
            spreadTaps(
              weights + row * outputs * Self.taps, from: Self.taps, count: outputs,
              first: Self.taps - 1, step: -1, target, stride: count)
          } else {
            spreadTaps(
              weights + row * Self.taps, from: inputs * Self.taps, count: outputs, first: 0,
              step: 1, target, stride: count)
          }
        }
        kernels.transformWeights(taps, count, 0, count, transformed)
        for point in 0..<Self.points {
          (out + (point * inputs + range.lowerBound) * outputs)
            .update(from: transformed + point * count, count: count)
        }
      }
    }
  }

  private func convolve(
    _ x: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, flipped: Bool,
    bias: UnsafePointer<Float>?, _ out: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutablePointer<Float>, _ threads: Int
  ) -> Bool {
    let points = scratch
    let directWeights = points + Self.points * inputs * outputs
    let zeros = directWeights + Self.taps * inputs * outputs
    let share = zeros + 2 * max(inputs, outputs)
    let grids = share + inputs
    let marks = grids + 2 * inputGridCount
    let slots = ScratchSlots(marks + tiles, count: threads, stride: slotCount)

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
        isUneven, out, slots)
      return true
    }
  }

  /// What all tiles read besides the images.
  private struct Operands {
    let weights, directWeights, zeros: UnsafePointer<Float>
    let bias: UnsafePointer<Float>?
  }

  private func convolve(
    _ x: UnsafePointer<Float>, _ operands: Operands, _ isUneven: UnsafePointer<Bool>,
    _ out: UnsafeMutablePointer<Float>, _ slots: ScratchSlots
  ) {
    let (inputStride, outputStride) = (pointStride(inputs), pointStride(outputs))
    let bias = operands.bias ?? operands.zeros
    parallelFor(tiles, grain: chunkTiles) { range in
      slots.borrow { slot in
        let products = slot + Self.points * inputStride
        let discarded = products + Self.points * outputStride
        let rows = (range.count + kernels.productRows - 1) / kernels.productRows
        withPatches(range, x, channels: inputs, offset: 0, outside: operands.zeros) { patches in
          withTiles(range, out, channels: outputs, offset: 0, outside: discarded) { targets in
            kernels.transformPatches(patches, range.count, inputs, slot, inputStride)
            kernels.multiplyPoints(
              slot, inputStride, operands.weights, products, outputStride, Self.points,
              rows * kernels.productRows, inputs, outputs)
            kernels.transformOutputs(
              products, outputStride, range.count, outputs, bias, targets)
            for tile in range where isUneven[tile] {
              let index = tile - range.lowerBound
              multiplyDirectly(
                patches + 36 * index, operands.directWeights, bias, slot, products,
                targets + 16 * index)
            }
          }
        }
      }
    }
  }

  /// The 16 outputs of a tile from its 6x6 patch; `gathered` holds [16, 9, inputs], `products`
  /// [16, outputs].
  private func multiplyDirectly(
    _ patch: WinogradKernels.Sources, _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>, _ gathered: UnsafeMutablePointer<Float>,
    _ products: UnsafeMutablePointer<Float>, _ targets: WinogradKernels.Targets
  ) {
    let depth = Self.taps * inputs
    for output in 0..<16 {
      let first = patch + output / 4 * 6 + output % 4
      for tap in 0..<Self.taps {
        (gathered + output * depth + tap * inputs)
          .update(from: first[tap / 3 * 6 + tap % 3], count: inputs)
      }
    }
    kernels.multiplyPoints(gathered, 0, weights, products, 0, 1, 16, depth, outputs)
    for output in 0..<16 {
      let (sum, target) = (products + output * outputs, targets[output])
      for o in 0..<outputs { target[o] = sum[o] + bias[o] }
    }
  }

  /// `out` [9, inputs, outputs] from the weights as `transform` reads them.
  private func arrange(
    _ weights: UnsafePointer<Float>, flipped: Bool, _ out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<inputs {
      for o in 0..<outputs {
        let filter = weights + Self.taps * (flipped ? i * outputs + o : o * inputs + i)
        for tap in 0..<Self.taps {
          out[(tap * inputs + i) * outputs + o] = filter[flipped ? Self.taps - 1 - tap : tap]
        }
      }
    }
  }
}

/// `out[t, i] = filters[i][first + t step]` for `count` filters of nine taps that lie `from` apart.
private func spreadTaps(
  _ filters: UnsafePointer<Float>, from: Int, count: Int, first: Int, step: Int,
  _ out: UnsafeMutablePointer<Float>, stride: Int
) {
  for i in 0..<count {
    let filter = filters + i * from + first
    for t in 0..<9 { out[t * stride + i] = filter[t * step] }
  }
}

// MARK: - Where tiles lie

extension WinogradConvolution {
  /// Calls `body` with the rows of channels from `offset` on of the 6x6 patches of the tiles in
  /// `range`, [count, 36]; `outside` stands for those beyond the image.
  func withPatches(
    _ range: Range<Int>, _ x: UnsafePointer<Float>, channels: Int, offset: Int,
    outside: UnsafePointer<Float>, _ body: (WinogradKernels.Sources) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: 36 * range.count) {
      rows in
      var next = rows.baseAddress!
      for tile in range {
        let (image, top, left) = corner(tile)
        for y in top - paddingHeight..<top - paddingHeight + 6 {
          for x1 in left - paddingWidth..<left - paddingWidth + 6 {
            let isInside = y >= 0 && y < height && x1 >= 0 && x1 < width
            next.initialize(
              to: isInside
                ? x + ((image * height + y) * width + x1) * channels + offset : outside)
            next += 1
          }
        }
      }
      body(UnsafePointer(rows.baseAddress!))
    }
  }

  /// Calls `body` with the rows of channels from `offset` on of the 4x4 outputs of the tiles in
  /// `range`, [count, 16]; `outside` stands for those beyond the image.
  func withTiles(
    _ range: Range<Int>, _ y: UnsafeMutablePointer<Float>, channels: Int, offset: Int,
    outside: UnsafeMutablePointer<Float>, _ body: (WinogradKernels.Targets) -> Void
  ) {
    withUnsafeTemporaryAllocation(
      of: UnsafeMutablePointer<Float>.self, capacity: 16 * range.count
    ) { rows in
      var next = rows.baseAddress!
      for tile in range {
        let (image, top, left) = corner(tile)
        for y1 in top..<top + 4 {
          for x in left..<left + 4 {
            let isInside = y1 < outHeight && x < outWidth
            next.initialize(
              to: isInside
                ? y + ((image * outHeight + y1) * outWidth + x) * channels + offset : outside)
            next += 1
          }
        }
      }
      body(UnsafePointer(rows.baseAddress!))
    }
  }

  /// The image of a tile and its first output row and column.
  @inline(__always)
  func corner(_ tile: Int) -> (image: Int, top: Int, left: Int) {
    let (image, place) = tile.quotientAndRemainder(dividingBy: tileRows * tileColumns)
    return (image, place / tileColumns * 4, place % tileColumns * 4)
  }
}
