import CPlatform

extension WinogradPhases {
  func add(
    _ tile: Int, _ x: WinogradGrid, _ gradient: WinogradGrid, to sum: inout TapMagnitudes
  ) {
    typealias Four = WinogradGrid.Four
    let (image, top, left) = place(tile)
    let gradients = (
      WinogradGrid.four(gradient.row(image, top) + left),
      WinogradGrid.four(gradient.row(image, top + 1) + left),
      WinogradGrid.four(gradient.row(image, top + 2) + left),
      WinogradGrid.four(gradient.row(image, top + 3) + left)
    )
    let outside = (gradients.0 + gradients.1 + gradients.2 + gradients.3).sum()
    let columns = sourceStep * form.tapSide
    // Of each row of pixels, those that a column of taps meets.
    withUnsafeTemporaryAllocation(of: Four.self, capacity: pixelSide * columns) { buffer in
      let met = buffer.baseAddress!
      for y in 0..<pixelSide {
        let row = UnsafePointer(x.row(image, top * sourceStep + y) + left * sourceStep)
        for k in 0..<columns { (met + y * columns + k).initialize(to: four(row + k)) }
      }
      for (phase, corner) in corners.enumerated() {
        let first =
          met + (corner.row - corners[0].row) * columns + corner.column - corners[0].column
        var (inside, last) = (Four(), Float())
        for y in 0..<side + form.tapSide - 1 {
          let row = first + y * sourceStep * columns
          inside += row[0]
          last += row[sourceStep][3]
        }
        var least = Float.infinity
        for tap in 0..<form.partTaps {
          let (down, right) = tap.quotientAndRemainder(dividingBy: form.tapSide)
          let row = first + (down * columns + right) * sourceStep
          let next = sourceStep * columns
          let a = gradients.0 * row[0]
          let b = gradients.1 * row[next]
          let c = gradients.2 * row[2 * next]
          let d = gradients.3 * row[3 * next]
          let seen = (a + b + c + d).sum()
          let peak = vq_larger4(vq_larger4(a, b), vq_larger4(c, d))
          sum.add(seen, largest: vq_largest_lane4(peak), to: phase * form.partTaps + tap)
          least = min(least, seen)
        }
        sum.add(product: (inside.sum() + last) * outside, least: least)
      }
    }
  }
}
