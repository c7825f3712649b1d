/// Writes the patches `[pixels.count, kernel height, kernel width, channels]` of the output pixels
/// `pixels` (flat over images, rows, columns), zeros where the window leaves the image.
public func gatherPatches(
  _ x: UnsafePointer<Float>, _ window: Window, pixels: Range<Int>,
  _ out: UnsafeMutablePointer<Float>
) {
  let c = window.channels
  let row = window.kernelWidth * c
  forEachPixel(window, pixels) { index, image, y, x0 in
    let source = x + image * window.height * window.width * c
    let patch = out + index * window.patchCount
    let rows = window.kernelRows(y)
    let columns = window.kernelColumns(x0)
    let left =
      x0 * window.strideWidth - window.paddingWidth + columns.lowerBound * window.dilationWidth
    let top = y * window.strideHeight - window.paddingHeight
    for ky in 0..<window.kernelHeight {
      let target = patch + ky * row
      guard rows.contains(ky) else {
        target.update(repeating: 0, count: row)
        continue
      }
      let pixel = source + ((top + ky * window.dilationHeight) * window.width + left) * c
      let (first, last) = (columns.lowerBound * c, columns.upperBound * c)
      for i in 0..<first { target[i] = 0 }
      if window.dilationWidth == 1 {
        copyElements(pixel, target + first, last - first)
      } else {
        for kx in 0..<columns.count {
          copyElements(pixel + kx * window.dilationWidth * c, target + first + kx * c, c)
        }
      }
      for i in last..<max(last, row) { target[i] = 0 }
    }
  }
}

/// Adds patches to the image elements they came from: the transpose of `gatherPatches`. One image
/// at a time belongs to one thread.
public func scatterPatches(
  _ patches: UnsafePointer<Float>, _ window: Window, pixels: Range<Int>,
  _ x: UnsafeMutablePointer<Float>
) {
  let c = window.channels
  let row = window.kernelWidth * c
  forEachPixel(window, pixels) { index, image, y, x0 in
    let target = x + image * window.height * window.width * c
    let patch = patches + index * window.patchCount
    let columns = window.kernelColumns(x0)
    let left =
      x0 * window.strideWidth - window.paddingWidth + columns.lowerBound * window.dilationWidth
    let top = y * window.strideHeight - window.paddingHeight
    for ky in window.kernelRows(y) {
      let pixel = target + ((top + ky * window.dilationHeight) * window.width + left) * c
      let source = patch + ky * row + columns.lowerBound * c
      if window.dilationWidth == 1 {
        addElements(source, pixel, columns.count * c)
      } else {
        for kx in 0..<columns.count {
          addElements(source + kx * c, pixel + kx * window.dilationWidth * c, c)
        }
      }
    }
  }
}

@inline(__always)
private func forEachPixel(
  _ window: Window, _ pixels: Range<Int>,
  _ body: (_ index: Int, _ image: Int, _ y: Int, _ x: Int) -> Void
) {
  let area = window.outHeight * window.outWidth
  var image = pixels.lowerBound / area
  var y = pixels.lowerBound % area / window.outWidth
  var x = pixels.lowerBound % window.outWidth
  for index in 0..<pixels.count {
    body(index, image, y, x)
    x += 1
    if x == window.outWidth {
      x = 0
      y += 1
      if y == window.outHeight {
        y = 0
        image += 1
      }
    }
  }
}

/// `[outer, channels, area]` to `[outer, area, channels]`: a convolution weight from torch's layout
/// to the order of a patch, with outer = out, area = kernel height * kernel width.
public func channelsToLast(
  _ source: UnsafePointer<Float>, outer: Int, channels: Int, area: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  for o in 0..<outer {
    let x = source + o * channels * area
    let y = out + o * channels * area
    for a in 0..<area {
      for c in 0..<channels { y[a * channels + c] = x[c * area + a] }
    }
  }
}

/// `out[i] = sum over p of partials[p * count + i]`, in the order of p.
public func sumPartials(
  _ partials: UnsafePointer<Float>, parts: Int, count: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(count, grain: elementGrain) { range in
    (out + range.lowerBound).update(from: partials + range.lowerBound, count: range.count)
    for part in 1..<max(parts, 1) {
      let x = partials + part * count
      addElements(x + range.lowerBound, out + range.lowerBound, range.count)
    }
  }
}

/// Writes the row `value` into every row of `out` `[rows, columns]`.
public func repeatRow(
  _ value: UnsafePointer<Float>, rows: Int, columns: Int, _ out: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows { (out + row * columns).update(from: value, count: columns) }
}

/// Adds the row `value` to every row of `out` `[rows, columns]`.
public func addRow(
  _ value: UnsafePointer<Float>, rows: Int, columns: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(rows, grain: max(1, elementGrain / max(1, columns))) { range in
    for row in range { addElements(value, out + row * columns, columns) }
  }
}

/// `out[i] += x[i]`, four at a time: rows of patches are often as short as twelve numbers.
@inline(__always)
func addElements(_ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int) {
  var i = 0
  while i + 4 <= count {
    let sum = load4(out + i) + load4(x + i)
    UnsafeMutableRawPointer(out + i).storeBytes(of: sum, as: SIMD4<Float>.self)
    i += 4
  }
  while i < count {
    out[i] += x[i]
    i += 1
  }
}

/// `out[i] = x[i]`, in place of a call where the row is short.
@inline(__always)
private func copyElements(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  if count > 64 { return out.update(from: x, count: count) }
  var i = 0
  while i + 4 <= count {
    UnsafeMutableRawPointer(out + i).storeBytes(of: load4(x + i), as: SIMD4<Float>.self)
    i += 4
  }
  while i < count {
    out[i] = x[i]
    i += 1
  }
}

@inline(__always)
private func load4(_ x: UnsafePointer<Float>) -> SIMD4<Float> {
  UnsafeRawPointer(x).loadUnaligned(as: SIMD4<Float>.self)
}
