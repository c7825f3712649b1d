import VQKernels

/// A convolution, or the part of one that meets some images or some rows of one.
struct ConvolutionBand {
  /// Of the part alone: its window has the padding above.
  let geometry: ConvolutionGeometry
  /// Rows of padding below.
  let bottom: Int
  /// The first elements of input and output.
  let input, output: Int

  init(all geometry: ConvolutionGeometry) {
    self.geometry = geometry
    bottom = geometry.window.paddingHeight
    (input, output) = (0, 0)
  }

  fileprivate init(_ g: ConvolutionGeometry, images: Range<Int>) {
    var part = g
    part.images = images.count
    geometry = part
    bottom = g.window.paddingHeight
    input = images.lowerBound * (g.inputCount / g.images)
    output = images.lowerBound * (g.outputCount / g.images)
  }

  /// Whether the same work on other elements.
  func isSameSize(as other: ConvolutionBand) -> Bool {
    bottom == other.bottom && geometry == other.geometry
  }

  /// Output rows and the input rows that they see; nil where they see none.
  fileprivate init?(_ g: ConvolutionGeometry, image: Int, outputRows: Range<Int>) {
    let w = g.window
    let first = outputRows.lowerBound * w.strideHeight - w.paddingHeight
    let last = (outputRows.upperBound - 1) * w.strideHeight - w.paddingHeight + w.kernelHeight
    self.init(
      g, image: image, inputRows: max(0, first)..<max(0, first, min(w.height, last)),
      outputRows: outputRows, top: max(0, -first), bottom: max(0, last - w.height))
  }

  /// Input rows and the output rows that see them; nil where none does. The stride is at most the
  /// kernel's height, so that windows leave no gap.
  fileprivate init?(_ g: ConvolutionGeometry, image: Int, inputRows: Range<Int>) {
    let w = g.window
    // Window y begins at row y * stride - padding.
    let reach = max(0, inputRows.lowerBound + w.paddingHeight - w.kernelHeight + 1)
    let first = (reach + w.strideHeight - 1) / w.strideHeight
    let last = min(
      w.outHeight, (inputRows.upperBound - 1 + w.paddingHeight) / w.strideHeight + 1)
    let begin = first * w.strideHeight - w.paddingHeight
    let end = (last - 1) * w.strideHeight - w.paddingHeight + w.kernelHeight
    self.init(
      g, image: image, inputRows: inputRows, outputRows: first..<max(first, last),
      top: inputRows.lowerBound - begin, bottom: max(0, end - inputRows.upperBound))
  }

  private init?(
    _ g: ConvolutionGeometry, image: Int, inputRows: Range<Int>, outputRows: Range<Int>, top: Int,
    bottom: Int
  ) {
    if inputRows.isEmpty || outputRows.isEmpty || top < 0 { return nil }
    let w = g.window
    var part = g
    part.images = 1
    part.window.height = inputRows.count
    part.window.outHeight = outputRows.count
    part.window.paddingHeight = top
    geometry = part
    self.bottom = bottom
    input = (image * w.height + inputRows.lowerBound) * w.width * w.channels
    output = (image * w.outHeight + outputRows.lowerBound) * w.outWidth * g.outChannels
  }
}

extension ConvolutionBand {
  enum Rows { case inputRows, outputRows }
}

extension ConvolutionGeometry {
  /// Batches of fewer images are cut into bands of rows, others into equally many images a part.
  private static let leastWholeImages = 8

  /// At most 32 parts that each are `least` of the work or more, bands of rows of `kind`.
  func parts(_ kind: ConvolutionBand.Rows, least: Double) -> [ConvolutionBand] {
    if images >= Self.leastWholeImages {
      let size = max(Int((least * Double(images)).rounded(.up)), (images + 31) / 32)
      return stride(from: 0, to: images, by: max(1, size)).map {
        ConvolutionBand(self, images: $0..<min($0 + size, images))
      }
    }
    let rows = kind == .inputRows ? window.height : window.outHeight
    let wanted = max(1, min(16, Int(1 / least)))
    // With gaps between the windows a band of the input may see none.
    let hasGaps = window.strideHeight > window.kernelHeight
    let bandsPerImage = wanted == 1 || hasGaps ? 1 : (wanted + images - 1) / images
    let height = max(1, (rows + bandsPerImage - 1) / bandsPerImage)
    if wanted == 1 || height >= rows && images == 1 { return [ConvolutionBand(all: self)] }
    var bands: [ConvolutionBand] = []
    for image in 0..<images {
      for first in stride(from: 0, to: rows, by: height) {
        let range = first..<min(first + height, rows)
        let band =
          kind == .inputRows
          ? ConvolutionBand(self, image: image, inputRows: range)
          : ConvolutionBand(self, image: image, outputRows: range)
        guard let band else { return [ConvolutionBand(all: self)] }
        bands.append(band)
      }
    }
    return bands
  }
}
