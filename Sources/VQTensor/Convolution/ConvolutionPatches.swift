import COpenBLAS
import VQKernels

/// Patches that one thread holds, in floats: half of a common second-level cache.
private let patchBudget = 1 << 17

extension ConvolutionGeometry {
  /// Output pixels whose patches a thread gathers at a time.
  fileprivate var chunkPixels: Int { max(16, min(4096, patchBudget / window.patchCount)) }

  /// One slot a thread, none needed where the input itself is the matrix of patches.
  fileprivate func slots() throws -> ThreadBuffers {
    let size = isPointwise ? 1 : min(chunkPixels, outputPixels) * window.patchCount
    return try ThreadBuffers(slots: threadCount, floats: size)
  }

  /// The weight as `[outChannels, kernel height, kernel width, channels]`.
  fileprivate func packed(_ weight: Tensor) throws -> Tensor {
    if window.kernelHeight * window.kernelWidth == 1 { return weight }
    return try Tensor("conv2d", shape: [weightCount]) { out in
      channelsToLast(
        weight.storage.floats, outer: outChannels, channels: window.channels,
        area: window.kernelHeight * window.kernelWidth, out)
    }
  }
}

/// `y[pixels, out] = patches[pixels, patch] packed^T + bias`, chunk by chunk.
func patchForward(_ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?) throws
  -> Tensor
{
  try prepareProducts()
  let (window, channels) = (g.window, g.outChannels)
  let packed = try g.packed(weight)
  let slots = try g.slots()
  return try Tensor("conv2d", shape: g.outputShape) { out in
    parallelFor(g.outputPixels, grain: g.chunkPixels) { pixels in
      let y = out + pixels.lowerBound * channels
      if let bias {
        repeatRow(bias.storage.floats, rows: pixels.count, columns: channels, y)
      }
      slots.borrow { scratch in
        var patches = x.storage.floats + pixels.lowerBound * window.channels
        if !g.isPointwise {
          gatherPatches(x.storage.floats, window, pixels: pixels, scratch)
          patches = scratch
        }
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasTrans, Int32(pixels.count), Int32(channels),
          Int32(window.patchCount), 1, patches, Int32(window.patchCount), packed.storage.floats,
          Int32(window.patchCount), bias == nil ? 0 : 1, y, Int32(channels))
      }
    }
  }
}

/// `dx = scatter(dy[pixels, out] packed[out, patch]) + bias`, an image belongs to one thread.
func patchBackwardData(
  _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor?
) throws -> Tensor {
  try prepareProducts()
  let (window, channels) = (g.window, g.outChannels)
  let packed = try g.packed(weight)
  let slots = try g.slots()
  let area = window.outHeight * window.outWidth
  let imageCount = window.height * window.width * window.channels
  return try Tensor("conv2d", shape: g.inputShape) { out in
    parallelFor(g.images, grain: max(1, g.chunkPixels / area)) { images in
      let target = out + images.lowerBound * imageCount
      if let bias {
        repeatRow(
          bias.storage.floats, rows: images.count * window.height * window.width,
          columns: window.channels, target)
      } else {
        target.update(repeating: 0, count: images.count * imageCount)
      }
      slots.borrow { scratch in
        let last = images.upperBound * area
        for start in stride(from: images.lowerBound * area, to: last, by: g.chunkPixels) {
          let pixels = start..<min(start + g.chunkPixels, last)
          let direct = out + start * window.channels
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(pixels.count),
            Int32(window.patchCount), Int32(channels), 1,
            gradient.storage.floats + start * channels, Int32(channels), packed.storage.floats,
            Int32(window.patchCount), g.isPointwise ? 1 : 0, g.isPointwise ? direct : scratch,
            Int32(window.patchCount))
          if !g.isPointwise { scatterPatches(scratch, window, pixels: pixels, out) }
        }
      }
    }
  }
}

/// `dw = sum over pixels of dy[pixels, out]^T patches[pixels, patch]`: a fixed number of partial
/// sums, added in order, so that the result does not depend on the threads.
func patchBackwardWeights(_ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor) throws
  -> Tensor
{
  try prepareProducts()
  let (window, channels) = (g.window, g.outChannels)
  let chunks = (g.outputPixels + g.chunkPixels - 1) / g.chunkPixels
  let parts = min(chunks, g.weightCount < 1 << 20 ? 16 : 4)
  let chunksPerPart = (chunks + parts - 1) / parts
  let slots = try g.slots()
  let partials = try Storage(.float32, count: parts * g.weightCount)
  parallelFor(parts, grain: 1) { range in
    for part in range {
      let sum = partials.floats + part * g.weightCount
      sum.update(repeating: 0, count: g.weightCount)
      slots.borrow { scratch in
        for chunk in part
          * chunksPerPart..<max(part * chunksPerPart, min((part + 1) * chunksPerPart, chunks))
        {
          let start = chunk * g.chunkPixels
          let pixels = start..<min(start + g.chunkPixels, g.outputPixels)
          var patches = x.storage.floats + start * window.channels
          if !g.isPointwise {
            gatherPatches(x.storage.floats, window, pixels: pixels, scratch)
            patches = scratch
          }
          cblas_sgemm(
            CblasRowMajor, CblasTrans, CblasNoTrans, Int32(channels), Int32(window.patchCount),
            Int32(pixels.count), 1, gradient.storage.floats + start * channels, Int32(channels),
            patches, Int32(window.patchCount), 1, sum, Int32(window.patchCount))
        }
      }
    }
  }
  let total = try Storage(.float32, count: g.weightCount)
  sumPartials(partials.floats, parts: parts, count: g.weightCount, total.floats)
  return try Tensor("conv2d", shape: g.weightShape) { out in
    channelsToLast(
      total.floats, outer: channels, channels: window.kernelHeight * window.kernelWidth,
      area: window.channels, out)
  }
}
