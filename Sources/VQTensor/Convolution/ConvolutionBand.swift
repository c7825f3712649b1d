import VQKernels

/// The axis along which a convolution is cut: rows, or the columns of images that are one row.
private struct CutAxis {
  let isColumns, isDilated: Bool
  let size, outSize, extent, stride, padding: Int

  init(_ w: Window) {
    isColumns = w.height == 1 && w.outHeight == 1
    if isColumns {
      (size, outSize, extent) = (w.width, w.outWidth, w.extentWidth)
      (stride, padding, isDilated) = (w.strideWidth, w.paddingWidth, w.dilationWidth > 1)
    } else {
      (size, outSize, extent) = (w.height, w.outHeight, w.extentHeight)
      (stride, padding, isDilated) = (w.strideHeight, w.paddingHeight, w.dilationHeight > 1)
    }
  }
}

/// A convolution, or the part of one that meets some images or a band of one.
struct ConvolutionBand {
  /// Of the part alone: its window has the padding before it.
  let geometry: ConvolutionGeometry
  /// Padding behind: rows below, columns on the right.
  let bottom, right: Int
  /// The first elements of input and output.
  let input, output: Int

  init(all geometry: ConvolutionGeometry) {
    self.geometry = geometry
    (bottom, right) = (geometry.window.paddingHeight, geometry.window.paddingWidth)
    (input, output) = (0, 0)
  }

  fileprivate init(_ g: ConvolutionGeometry, images: Range<Int>) {
    var part = g
    part.images = images.count
    geometry = part
    (bottom, right) = (g.window.paddingHeight, g.window.paddingWidth)
    input = images.lowerBound * (g.inputCount / g.images)
    output = images.lowerBound * (g.outputCount / g.images)
  }

  /// Whether the same work on other elements.
  func isSameSize(as other: ConvolutionBand) -> Bool {
    bottom == other.bottom && right == other.right && geometry == other.geometry
  }

  /// Places of the output and those of the input that they see; nil where they see none.
  fileprivate init?(_ g: ConvolutionGeometry, _ axis: CutAxis, image: Int, outputs: Range<Int>) {
    let first = outputs.lowerBound * axis.stride - axis.padding
    let last = (outputs.upperBound - 1) * axis.stride - axis.padding + axis.extent
    self.init(
      g, axis, image: image, inputs: max(0, first)..<max(0, first, min(axis.size, last)),
      outputs: outputs, before: max(0, -first), behind: max(0, last - axis.size))
  }

  /// Places of the input and those of the output that see them; nil where none does. The stride is
  /// at most the kernel's size, so that windows leave no gap.
  fileprivate init?(_ g: ConvolutionGeometry, _ axis: CutAxis, image: Int, inputs: Range<Int>) {
    // Window y begins at place y * stride - padding.
    let reach = max(0, inputs.lowerBound + axis.padding - axis.extent + 1)
    let first = (reach + axis.stride - 1) / axis.stride
    let last = min(
      axis.outSize, (inputs.upperBound - 1 + axis.padding) / axis.stride + 1)
    let begin = first * axis.stride - axis.padding
    let end = (last - 1) * axis.stride - axis.padding + axis.extent
    self.init(
      g, axis, image: image, inputs: inputs, outputs: first..<max(first, last),
      before: inputs.lowerBound - begin, behind: max(0, end - inputs.upperBound))
  }

  private init?(
    _ g: ConvolutionGeometry, _ axis: CutAxis, image: Int, inputs: Range<Int>,
    outputs: Range<Int>, before: Int, behind: Int
  ) {
    if inputs.isEmpty || outputs.isEmpty || before < 0 { return nil }
    let w = g.window
    var part = g
    part.images = 1
    let (inputStep, outputStep): (Int, Int)
    if axis.isColumns {
      (part.window.width, part.window.outWidth) = (inputs.count, outputs.count)
      part.window.paddingWidth = before
      (bottom, right) = (w.paddingHeight, behind)
      (inputStep, outputStep) = (1, 1)
    } else {
      (part.window.height, part.window.outHeight) = (inputs.count, outputs.count)
      part.window.paddingHeight = before
      (bottom, right) = (behind, w.paddingWidth)
      (inputStep, outputStep) = (w.width, w.outWidth)
    }
    geometry = part
    input = (image * axis.size + inputs.lowerBound) * inputStep * w.channels
    output = (image * axis.outSize + outputs.lowerBound) * outputStep * g.outChannels
  }
}

extension ConvolutionBand {
  enum Places { case inputs, outputs }
}

extension ConvolutionGeometry {
  /// Batches of fewer images are cut into bands, others into equally many images a part.
  private static let leastWholeImages = 8

  /// At most 32 parts that each are `least` of the work or more, bands of places of `kind`.
  func parts(_ kind: ConvolutionBand.Places, least: Double) -> [ConvolutionBand] {
    if images >= Self.leastWholeImages {
      let size = max(Int((least * Double(images)).rounded(.up)), (images + 31) / 32)
      return stride(from: 0, to: images, by: max(1, size)).map {
        ConvolutionBand(self, images: $0..<min($0 + size, images))
      }
    }
    let axis = CutAxis(window)
    let places = kind == .inputs ? axis.size : axis.outSize
    let wanted = max(1, min(16, Int(1 / least)))
    // With gaps between the windows, or within one, a band of the input may see none.
    let hasGaps = axis.stride > axis.extent || kind == .inputs && axis.isDilated
    let bandsPerImage = wanted == 1 || hasGaps ? 1 : (wanted + images - 1) / images
    let size = max(1, (places + bandsPerImage - 1) / bandsPerImage)
    if wanted == 1 || size >= places && images == 1 { return [ConvolutionBand(all: self)] }
    var bands: [ConvolutionBand] = []
    for image in 0..<images {
      for first in stride(from: 0, to: places, by: size) {
        let range = first..<min(first + size, places)
        let band =
          kind == .inputs
          ? ConvolutionBand(self, axis, image: image, inputs: range)
          : ConvolutionBand(self, axis, image: image, outputs: range)
        guard let band else { return [ConvolutionBand(all: self)] }
        bands.append(band)
      }
    }
    return bands
  }
}
