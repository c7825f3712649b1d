/// `out` [images, out height, out width, channels]: the pixels of `x` that a kernel of one pixel
/// meets, zeros beyond the image.
public func samplePixels(
  _ x: UnsafePointer<Float>, _ window: Window, images: Int, _ out: UnsafeMutablePointer<Float>
) {
  let channels = window.channels
  let grain = max(1, elementGrain / (window.outWidth * channels))
  parallelFor(images * window.outHeight, grain: grain) { rows in
    for row in rows {
      let (image, y) = row.quotientAndRemainder(dividingBy: window.outHeight)
      let top = y * window.strideHeight - window.paddingHeight
      let target = out + row * window.outWidth * channels
      guard top >= 0, top < window.height else {
        target.update(repeating: 0, count: window.outWidth * channels)
        continue
      }
      let source = x + (image * window.height + top) * window.width * channels
      for column in 0..<window.outWidth {
        let left = column * window.strideWidth - window.paddingWidth
        let pixel = target + column * channels
        if left >= 0, left < window.width {
          pixel.update(from: source + left * channels, count: channels)
        } else {
          pixel.update(repeating: 0, count: channels)
        }
      }
    }
  }
}

/// `out` [images, height, width, channels]: `samples` where `samplePixels` took them, zeros
/// elsewhere, plus `bias` [channels] where there is one.
public func spreadSamples(
  _ samples: UnsafePointer<Float>, _ window: Window, images: Int, bias: UnsafePointer<Float>?,
  _ out: UnsafeMutablePointer<Float>
) {
  let channels = window.channels
  let grain = max(1, elementGrain / (window.width * channels))
  parallelFor(images * window.height, grain: grain) { rows in
    for row in rows {
      let (image, y) = row.quotientAndRemainder(dividingBy: window.height)
      let target = out + row * window.width * channels
      if let bias {
        repeatRow(bias, rows: window.width, columns: channels, target)
      } else {
        target.update(repeating: 0, count: window.width * channels)
      }
      let (top, offset) = (y + window.paddingHeight).quotientAndRemainder(
        dividingBy: window.strideHeight)
      guard offset == 0, top < window.outHeight else { continue }
      let source = samples + (image * window.outHeight + top) * window.outWidth * channels
      for column in 0..<window.outWidth {
        let left = column * window.strideWidth - window.paddingWidth
        guard left >= 0, left < window.width else { continue }
        let pixel = target + left * channels
        if bias == nil {
          pixel.update(from: source + column * channels, count: channels)
        } else {
          addElements(source + column * channels, pixel, channels)
        }
      }
    }
  }
}
