/// Outputs of one image, `length` of each of `rows` rows, whose operands are copied as the products
/// read them.
private struct TapPiece {
  let image, top, left, rows, length: Int
}

/// How a weight gradient is cut. It depends on the sizes alone, so that the order of summation
/// does.
private struct TapGradientPlan {
  let convolution: TapConvolution
  let pieces: [TapPiece]
  /// Rows of a piece of the inputs; columns of each remainder of the stride.
  let inputRows, inputColumns: Int
  /// Elements of the largest piece of the inputs and of the gradient.
  let inputCount, gradientCount: Int
  let inputPanels, outputTiles: Int
  /// Tiles of outputs and taps that one thread takes at a time.
  let tileRange, tapRange: Int
  /// Pieces that are in memory at the same time.
  let piecesAtOnce: Int

  /// Outputs of a piece: what a product reads of them stays in the first-level cache.
  private static let pieceSize = 320
  /// Elements of gradients that stay in the second-level cache, and of all pieces in memory.
  private static let (nearCount, blockCount) = (1 << 15, 1 << 21)

  init(_ c: TapConvolution) {
    let w = c.window
    convolution = c
    let cuts = (w.outWidth + Self.pieceSize - 1) / Self.pieceSize
    let length = (w.outWidth + cuts - 1) / cuts
    let rows = max(1, min(w.outHeight, Self.pieceSize / length))
    var pieces: [TapPiece] = []
    for image in 0..<c.images {
      for top in stride(from: 0, to: w.outHeight, by: rows) {
        for left in stride(from: 0, to: w.outWidth, by: length) {
          pieces.append(
            TapPiece(
              image: image, top: top, left: left, rows: min(rows, w.outHeight - top),
              length: min(length, w.outWidth - left)))
        }
      }
    }
    self.pieces = pieces
    inputRows = (rows - 1) * w.strideHeight + w.extentHeight
    let columns = (length - 1) * w.strideWidth + w.extentWidth
    inputColumns = (columns + w.strideWidth - 1) / w.strideWidth
    inputPanels = (c.inputs + c.kernels.columns - 1) / c.kernels.columns
    outputTiles = (c.outputs + c.kernels.rows - 1) / c.kernels.rows
    inputCount =
      c.groups * inputPanels * c.kernels.columns * inputRows * inputColumns * w.strideWidth
    gradientCount = c.groups * outputTiles * c.kernels.rows * rows * length
    piecesAtOnce = max(1, min(pieces.count, Self.blockCount / (inputCount + gradientCount)))
    tileRange = max(1, min(outputTiles, Self.nearCount / (rows * length * c.kernels.rows)))
    let units = c.groups * inputPanels * ((outputTiles + tileRange - 1) / tileRange)
    tapRange = max(1, c.taps * units / 32)
  }

  /// [groups, output tiles, rows of a product, taps, input panels, columns of a product]
  var sumCount: Int { convolution.groups * outputTiles * convolution.kernels.rows * rowLength }
  var rowLength: Int { convolution.taps * inputPanels * convolution.kernels.columns }
  var pieceCount: Int { inputCount + gradientCount }
}

extension TapConvolution {
  /// Elements that `weightGradient` needs besides its operands.
  public func weightGradientScratchCount() -> Int {
    let plan = TapGradientPlan(self)
    return plan.sumCount + plan.piecesAtOnce * plan.pieceCount
  }

  /// `out` [out, channels of a group, kernel] = the gradient of the weights from the inputs `x` and
  /// the outputs' `gradient`.
  public func weightGradient(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    let plan = TapGradientPlan(self)
    let (sums, copies) = (scratch, scratch + plan.sumCount)
    sums.update(repeating: 0, count: plan.sumCount)
    for start in stride(from: 0, to: plan.pieces.count, by: plan.piecesAtOnce) {
      let pieces = plan.pieces[start..<min(start + plan.piecesAtOnce, plan.pieces.count)]
      parallelFor(pieces.count, grain: 1) { range in
        for index in range {
          let copy = copies + index * plan.pieceCount
          copyInputs(plan, pieces[start + index], x, copy)
          copyGradients(plan, pieces[start + index], gradient, copy + plan.inputCount)
        }
      }
      add(plan, pieces, copies, sums)
    }
    finish(plan, sums, out)
  }

  /// `copy` [groups, input panels, input rows, remainders of the stride, input columns, columns of
  /// a product]; zeros beyond the image and the last channel.
  private func copyInputs(
    _ plan: TapGradientPlan, _ piece: TapPiece, _ x: UnsafePointer<Float>,
    _ copy: UnsafeMutablePointer<Float>
  ) {
    let (w, size) = (window, kernels.columns)
    let line = plan.inputColumns * w.strideWidth
    let panel = plan.inputRows * line * size
    for row in 0..<plan.inputRows {
      let y = piece.top * w.strideHeight - w.paddingHeight + row
      for place in 0..<line {
        let (remainder, column) = place.quotientAndRemainder(dividingBy: plan.inputColumns)
        let left = (piece.left + column) * w.strideWidth + remainder - w.paddingWidth
        var target = copy + (row * line + place) * size
        guard y >= 0, y < w.height, left >= 0, left < w.width else {
          for _ in 0..<groups * plan.inputPanels {
            target.update(repeating: 0, count: size)
            target += panel
          }
          continue
        }
        var source = x + ((piece.image * w.height + y) * w.width + left) * w.channels
        for _ in 0..<groups {
          for first in stride(from: 0, to: inputs, by: size) {
            copyPadded(source + first, min(size, inputs - first), size, target)
            target += panel
          }
          source += inputs
        }
      }
    }
  }

  /// `copy` [groups, output tiles, outputs of the piece, rows of a product]; zeros beyond the last
  /// channel.
  private func copyGradients(
    _ plan: TapGradientPlan, _ piece: TapPiece, _ gradient: UnsafePointer<Float>,
    _ copy: UnsafeMutablePointer<Float>
  ) {
    let (w, size) = (window, kernels.rows)
    let tile = piece.rows * piece.length * size
    var place = copy
    for row in 0..<piece.rows {
      let line = (piece.image * w.outHeight + piece.top + row) * w.outWidth + piece.left
      for column in 0..<piece.length {
        var (source, target) = (gradient + (line + column) * outChannels, place)
        for _ in 0..<groups {
          for first in stride(from: 0, to: outputs, by: size) {
            copyPadded(source + first, min(size, outputs - first), size, target)
            target += tile
          }
          source += outputs
        }
        place += size
      }
    }
  }

  /// Adds the products of all pieces to `sums`, piece after piece.
  private func add(
    _ plan: TapGradientPlan, _ pieces: ArraySlice<TapPiece>, _ copies: UnsafePointer<Float>,
    _ sums: UnsafeMutablePointer<Float>
  ) {
    let w = window
    let (rows, columns) = (kernels.rows, kernels.columns)
    let line = plan.inputColumns * w.strideWidth * columns
    let tileParts = (plan.outputTiles + plan.tileRange - 1) / plan.tileRange
    let tapParts = (taps + plan.tapRange - 1) / plan.tapRange
    parallelFor(groups * tileParts * plan.inputPanels * tapParts, grain: 1) { range in
      for unit in range {
        let (rest, tapPart) = unit.quotientAndRemainder(dividingBy: tapParts)
        let (other, panel) = rest.quotientAndRemainder(dividingBy: plan.inputPanels)
        let (group, tilePart) = other.quotientAndRemainder(dividingBy: tileParts)
        let tiles =
          tilePart * plan.tileRange..<min((tilePart + 1) * plan.tileRange, plan.outputTiles)
        let ofTaps = tapPart * plan.tapRange..<min((tapPart + 1) * plan.tapRange, taps)
        for (index, piece) in pieces.enumerated() {
          let copy = copies + index * plan.pieceCount
          let x = copy + (group * plan.inputPanels + panel) * plan.inputRows * line
          let size = piece.rows * piece.length * rows
          let gradients = copy + plan.inputCount + group * plan.outputTiles * size
          for tap in ofTaps {
            let (down, right) = tap.quotientAndRemainder(dividingBy: w.kernelWidth)
            let (column, remainder) = (right * w.dilationWidth)
              .quotientAndRemainder(dividingBy: w.strideWidth)
            let met =
              x + down * w.dilationHeight * line
              + (remainder * plan.inputColumns + column) * columns
            for tile in tiles {
              let row = (group * plan.outputTiles + tile) * rows
              kernels.addGradients(
                gradients + tile * size, met, w.strideHeight * line, piece.rows, piece.length,
                sums + row * plan.rowLength + (tap * plan.inputPanels + panel) * columns,
                plan.rowLength)
            }
          }
        }
      }
    }
  }

  /// The sums in the order of the weights.
  private func finish(
    _ plan: TapGradientPlan, _ sums: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) {
    let tapLength = plan.inputPanels * kernels.columns
    parallelFor(outChannels, grain: max(1, elementGrain / (inputs * taps))) { range in
      for channel in range {
        let (group, output) = channel.quotientAndRemainder(dividingBy: outputs)
        let row = group * plan.outputTiles * kernels.rows + output
        let (source, target) = (sums + row * plan.rowLength, out + channel * inputs * taps)
        for i in 0..<inputs {
          for tap in 0..<taps { target[i * taps + tap] = source[tap * tapLength + i] }
        }
      }
    }
  }
}

/// `out` [size] = `count` elements of `x`, then zeros.
@inline(__always)
private func copyPadded(
  _ x: UnsafePointer<Float>, _ count: Int, _ size: Int, _ out: UnsafeMutablePointer<Float>
) {
  for i in 0..<count { out[i] = x[i] }
  for i in count..<max(count, size) { out[i] = 0 }
}
