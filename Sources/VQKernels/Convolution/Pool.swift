/// Largest element of each window: `out` `[n, out height, out width, channels]`, and in `positions`
/// its flat place `y * width + x` in the image. The first of equal ones wins; NaN wins over
/// numbers. Where `isRectified` that of max(x, 0), with place -1 where it is not above 0.
public func maxPool(
  _ x: UnsafePointer<Float>, images: Int, _ window: Window, isRectified: Bool = false,
  _ out: UnsafeMutablePointer<Float>, positions: UnsafeMutablePointer<Int32>
) {
  let c = window.channels
  forEachOutputRow(images, window) { image, y in
    let source = x + image * window.height * window.width * c
    for x0 in 0..<window.outWidth {
      let index = ((image * window.outHeight + y) * window.outWidth + x0) * c
      for first in stride(from: 0, to: c, by: 8) {
        let lanes = min(8, c - first)
        var best = SIMD8<Float>()
        var place = SIMD8<Int32>(repeating: -1)
        for ky in window.kernelRows(y) {
          let iy = y * window.strideHeight - window.paddingHeight + ky
          for kx in window.kernelColumns(x0) {
            let ix = x0 * window.strideWidth - window.paddingWidth + kx
            let position = iy * window.width + ix
            let number = Int32(truncatingIfNeeded: position)
            var new = loaded(source + position * c + first, lanes)
            if isRectified { new.replace(with: 0, where: new .< 0) }
            if place[0] < 0 {
              (best, place) = (new, SIMD8(repeating: number))
            } else if all(new .== new) {
              let wins = new .> best
              best.replace(with: new, where: wins)
              place.replace(with: number, where: wins)
            } else {
              for lane in 0..<8 where !(new[lane] <= best[lane]) && best[lane] == best[lane] {
                (best[lane], place[lane]) = (new[lane], number)
              }
            }
          }
        }
        if isRectified {
          for lane in 0..<8 where !(best[lane] > 0) { place[lane] = -1 }
        }
        for lane in 0..<lanes {
          out[index + first + lane] = best[lane]
          positions[index + first + lane] = place[lane]
        }
      }
    }
  }
}

@inline(__always)
private func loaded(_ x: UnsafePointer<Float>, _ lanes: Int) -> SIMD8<Float> {
  if lanes == 8 { return UnsafeRawPointer(x).loadUnaligned(as: SIMD8<Float>.self) }
  var values = SIMD8<Float>()
  for lane in 0..<lanes { values[lane] = x[lane] }
  return values
}

/// Adds each gradient to the element that won, if it has a place: the pullback of `maxPool`.
public func maxPoolGradient(
  _ gradient: UnsafePointer<Float>, positions: UnsafePointer<Int32>, images: Int, _ window: Window,
  _ out: UnsafeMutablePointer<Float>
) {
  let c = window.channels
  let outArea = window.outHeight * window.outWidth
  forEachImage(images, window) { image in
    let target = out + image * window.height * window.width * c
    target.update(repeating: 0, count: window.height * window.width * c)
    for pixel in 0..<outArea {
      let index = (image * outArea + pixel) * c
      for i in 0..<c {
        let position = Int(positions[index + i])
        target[max(position, 0) * c + i] += position < 0 ? 0 : gradient[index + i]
      }
    }
  }
}

/// Mean over each window; places in the padding count as zeros.
public func averagePool(
  _ x: UnsafePointer<Float>, images: Int, _ window: Window, _ out: UnsafeMutablePointer<Float>
) {
  let c = window.channels
  let factor = 1 / Float(window.kernelHeight * window.kernelWidth)
  forEachOutputRow(images, window) { image, y in
    let source = x + image * window.height * window.width * c
    for x0 in 0..<window.outWidth {
      let sum = out + ((image * window.outHeight + y) * window.outWidth + x0) * c
      if window.isHalving {
        meanOfFour(source + (2 * y * window.width + 2 * x0) * c, window.width * c, c, sum) { $0 }
        continue
      }
      for i in 0..<c { sum[i] = 0 }
      for ky in window.kernelRows(y) {
        let iy = y * window.strideHeight - window.paddingHeight + ky
        for kx in window.kernelColumns(x0) {
          let ix = x0 * window.strideWidth - window.paddingWidth + kx
          let pixel = source + (iy * window.width + ix) * c
          for i in 0..<c { sum[i] += pixel[i] }
        }
      }
      for i in 0..<c { sum[i] *= factor }
    }
  }
}

/// Spreads each gradient evenly over its window: the pullback of `averagePool`.
public func averagePoolGradient(
  _ gradient: UnsafePointer<Float>, images: Int, _ window: Window,
  _ out: UnsafeMutablePointer<Float>
) {
  let c = window.channels
  let factor = 1 / Float(window.kernelHeight * window.kernelWidth)
  forEachImage(images, window) { image in
    let target = out + image * window.height * window.width * c
    let isCovered = window.isHalving && (window.height | window.width) & 1 == 0
    if !isCovered { target.update(repeating: 0, count: window.height * window.width * c) }
    for y in 0..<window.outHeight {
      for x0 in 0..<window.outWidth {
        let g = gradient + ((image * window.outHeight + y) * window.outWidth + x0) * c
        if window.isHalving {
          let first = target + (2 * y * window.width + 2 * x0) * c
          for i in 0..<c { first[i] = g[i] * factor }
          (first + c).update(from: first, count: c)
          (first + window.width * c).update(from: first, count: 2 * c)
          continue
        }
        for ky in window.kernelRows(y) {
          let iy = y * window.strideHeight - window.paddingHeight + ky
          for kx in window.kernelColumns(x0) {
            let ix = x0 * window.strideWidth - window.paddingWidth + kx
            let pixel = target + (iy * window.width + ix) * c
            for i in 0..<c { pixel[i] += g[i] * factor }
          }
        }
      }
    }
  }
}

/// `averagePool` of max(x, 0) over 2x2 windows side by side.
public func rectifiedHalving(
  _ x: UnsafePointer<Float>, images: Int, _ window: Window, _ out: UnsafeMutablePointer<Float>
) {
  let c = window.channels
  forEachOutputRow(images, window) { image, y in
    let source = x + (image * window.height + 2 * y) * window.width * c
    let target = out + (image * window.outHeight + y) * window.outWidth * c
    for x0 in 0..<window.outWidth {
      meanOfFour(source + 2 * x0 * c, window.width * c, c, target + x0 * c) { $0 < 0 ? 0 : $0 }
    }
  }
}

/// The pullback of `rectifiedHalving`: each gradient over four where x is positive.
public func rectifiedHalvingGradient(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, images: Int, _ window: Window,
  _ out: UnsafeMutablePointer<Float>
) {
  let (c, row) = (window.channels, window.width * window.channels)
  forEachImage(images, window) { image in
    let (source, target) = (x + image * window.height * row, out + image * window.height * row)
    if (window.height | window.width) & 1 != 0 {
      target.update(repeating: 0, count: window.height * row)
    }
    for y in 0..<window.outHeight {
      for x0 in 0..<window.outWidth {
        let g = gradient + ((image * window.outHeight + y) * window.outWidth + x0) * c
        for place in 0..<4 {
          let start = (2 * y + place / 2) * row + (2 * x0 + place % 2) * c
          let (from, to) = (source + start, target + start)
          for i in 0..<c {
            // Loaded before the choice, so that the loop has no branch.
            let share = 0.25 * g[i]
            to[i] = from[i] > 0 ? share : 0
          }
        }
      }
    }
  }
}

/// The mean of f over a pixel, its right neighbor and the two below, `row` elements on.
@inline(__always)
private func meanOfFour(
  _ upper: UnsafePointer<Float>, _ row: Int, _ c: Int, _ out: UnsafeMutablePointer<Float>,
  _ f: (Float) -> Float
) {
  let lower = upper + row
  for i in 0..<c {
    out[i] = 0.25 * (((f(upper[i]) + f(upper[c + i])) + f(lower[i])) + f(lower[c + i]))
  }
}

@inline(__always)
private func forEachOutputRow(
  _ images: Int, _ window: Window, _ body: (_ image: Int, _ y: Int) -> Void
) {
  let work = max(1, window.outWidth * window.patchCount)
  parallelFor(images * window.outHeight, grain: max(1, elementGrain / work)) { rows in
    for row in rows { body(row / window.outHeight, row % window.outHeight) }
  }
}

@inline(__always)
private func forEachImage(_ images: Int, _ window: Window, _ body: (_ image: Int) -> Void) {
  let work = max(1, window.height * window.width * window.channels)
  parallelFor(images, grain: max(1, elementGrain / work)) { range in
    for image in range { body(image) }
  }
}
