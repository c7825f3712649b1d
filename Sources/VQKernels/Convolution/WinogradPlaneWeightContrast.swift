import CPlatform

extension WinogradPlanes {
  @inline(__always)
  func add(
    _ tile: Int, _ x: WinogradGrid, _ gradient: WinogradGrid, to sum: inout TapMagnitudes
  ) {
    let (image, top, left) = place(tile)
    // Gradients of the tile alone: vectors of two hold two of the next.
    var isOfTile = WinogradGrid.Four(repeating: 1)
    for column in side..<4 { isOfTile[column] = 0 }
    @inline(__always)
    func gradients(_ y: Int) -> WinogradGrid.Four {
      WinogradGrid.four(gradient.row(image, top + y) + left) * isOfTile
    }
    var (inside, outside, least) = (WinogradGrid.Four(), WinogradGrid.Four(), Float.infinity)
    for y in 0..<side { outside += gradients(y) }
    for y in 0..<6 {
      let row = UnsafePointer(x.row(image, top + y) + left)
      // Lanes 0 and 3 hold three pixels each.
      inside += WinogradGrid.four(row) + WinogradGrid.four(row + 1) + WinogradGrid.four(row + 2)
    }
    for tap in 0..<form.taps {
      let (down, right) = tap.quotientAndRemainder(dividingBy: form.tapSide)
      var (products, peaks) = (WinogradGrid.Four(), WinogradGrid.Four())
      for y in 0..<side {
        let row = gradients(y) * WinogradGrid.four(x.row(image, top + y + down) + left + right)
        products += row
        peaks = pointwiseMax(peaks, row)
      }
      let seen = products.sum()
      sum.add(seen, largest: peaks.max(), to: tap)
      least = min(least, seen)
    }
    sum.add(product: (inside[0] + inside[3]) * outside.sum(), least: least)
  }
}
