/// A codebook that a gap cuts in two along the direction of its farthest code from the mean.
/// Float32 decides nothing where two groups are far apart, and most points are near one of them.
struct CodebookSides {
  /// Codes on one side, by their places among the distinct ones, ascending.
  struct Side {
    let places: [Int32]
    let screen: Float64Codebook
  }

  let lower: Side
  let upper: Side
  private let direction: [Double]
  /// The ends of the gap, and the length of the longest code.
  private let gap: ClosedRange<Double>
  private let longest: Double

  /// Nil where neither side would have an eighth of the codes, or a side is wider than the gap.
  init?<Element: SearchElement>(
    _ source: UnsafePointer<Element>, _ distinct: [Int32], longest: Double,
    _ centered: CenteredCodebook, _ kernels: TileKernels
  ) {
    let (d, count) = (centered.d, distinct.count)
    guard count >= 64 else { return nil }
    func difference(_ place: Int, _ i: Int) -> Double {
      Double(source[Int(distinct[place]) * d + i]) - centered.center[i]
    }
    let squares = (0..<count).map { place in
      (0..<d).reduce(0.0) { $0 + difference(place, $1) * difference(place, $1) }
    }
    let farthest = squares.indices.max { squares[$0] < squares[$1] }!
    let length = squares[farthest].squareRoot()
    guard length > 0x1p-300, length < 0x1p300 else { return nil }
    let direction = (0..<d).map { difference(farthest, $0) / length }
    let projections = distinct.map { code in
      (0..<d).reduce(0.0) { $0 + Double(source[Int(code) * d + $1]) * direction[$1] }
    }
    let order = projections.indices.sorted { projections[$0] < projections[$1] }
    let cuts = count / 8..<count - count / 8
    func width(_ cut: Int) -> Double { projections[order[cut]] - projections[order[cut - 1]] }
    let cut = cuts.max { width($0) < width($1) }!
    let (first, last) = (projections[order[0]], projections[order[count - 1]])
    let gap = projections[order[cut - 1]]...projections[order[cut]]
    guard width(cut) > max(gap.lowerBound - first, last - gap.upperBound) else { return nil }
    func side(_ part: ArraySlice<Int>) -> Side {
      let places = part.sorted().map { Int32($0) }
      return Side(
        places: places,
        screen: Float64Codebook(
          source, places.map { distinct[Int($0)] }, centered, wanted: 1, kernels))
    }
    (self.direction, self.gap, self.longest) = (direction, gap, longest)
    (lower, upper) = (side(order[..<cut]), side(order[cut...]))
  }

  /// On which side of the gap's middle a point is.
  func isUpper<Element: SearchElement>(_ point: UnsafePointer<Element>) -> Bool {
    var sum = 0.0
    for i in 0..<direction.count { sum += Double(point[i]) * direction[i] }
    return sum > (gap.lowerBound + gap.upperBound) / 2
  }

  /// Less than the squared distance, summed in Float64, of a point to any code on the other side.
  func squaredDistance(of point: UnsafePointer<Double>, toOther isUpper: Bool) -> Double {
    let d = direction.count
    var (sum, squares) = (0.0, 0.0)
    for i in 0..<d {
      sum += point[i] * direction[i]
      squares += point[i] * point[i]
    }
    // Projections are sums of d products, each within (d + 2) 2^-53 of the lengths.
    let error = Double(d + 8) * 0x1p-51 * (squares.squareRoot() + longest)
    let distance = (isUpper ? sum - gap.lowerBound : gap.upperBound - sum) - error
    return distance > 0 ? distance * distance * (1 - Double(d + 8) * 0x1p-50) : 0
  }
}
