/// For each point of a panel, the number of tiles whose maximum is within its margin of the best,
/// and the last of them.
///
/// - Parameters:
///   - maxima: [count, panelPoints].
///   - best, margins: [panelPoints]; a margin of +inf leaves no tile.
///   - limits: out, [panelPoints], what a maximum must reach.
///   - last: out, [panelPoints].
///   - hits: out, [panelPoints].
/// - Returns: the number of all.
public func selectTiles(
  _ maxima: UnsafePointer<Float>, count: Int, _ best: UnsafePointer<Float>,
  _ margins: UnsafePointer<Float>, _ limits: UnsafeMutablePointer<Float>,
  _ last: UnsafeMutablePointer<Int32>, _ hits: UnsafeMutablePointer<Int32>
) -> Int {
  let lanes = Lanes.scalarCount
  let infinity = Lanes(repeating: .infinity)
  for first in stride(from: 0, to: panelPoints, by: lanes) {
    let margin = (margins + first).vector(Lanes.self)
    let limit = choose(
      (best + first).vector(Lanes.self) - margin, whereLess: margin, infinity, else: infinity)
    (limits + first).store(limit)
  }
  let (lowLimit, highLimit) = (
    UnsafePointer(limits).vector(Lanes.self), UnsafePointer(limits + lanes).vector(Lanes.self)
  )
  var (lowLast, highLast, lowHits, highHits) = (IntLanes(), IntLanes(), IntLanes(), IntLanes())
  let one = IntLanes(repeating: 1)
  var tile = IntLanes()
  var row = maxima
  for _ in 0..<count {
    let (low, high) = (row.vector(Lanes.self), (row + lanes).vector(Lanes.self))
    lowLast = choose(tile, whereReached: low, lowLimit, else: lowLast)
    highLast = choose(tile, whereReached: high, highLimit, else: highLast)
    lowHits = choose(lowHits &+ one, whereReached: low, lowLimit, else: lowHits)
    highHits = choose(highHits &+ one, whereReached: high, highLimit, else: highHits)
    tile = tile &+ one
    row += panelPoints
  }
  last.store(lowLast)
  (last + lanes).store(highLast)
  hits.store(lowHits)
  (hits + lanes).store(highHits)
  return Int((lowHits &+ highHits).wrappedSum())
}

/// `margins[r] = a + b X + c X^2 + e L`, X and L bounds of the lengths whose squares are given, for
/// the first `count` points of a panel; +inf for the others, and where X is not below `longest`.
///
/// - Parameters:
///   - squares, lostSquares: [panelPoints].
///   - terms: a, b, c, e, longest, and what to add to a length.
public func boundMargins(
  _ squares: UnsafePointer<Float>, _ lostSquares: UnsafePointer<Float>, count: Int,
  _ terms: UnsafePointer<Float>, _ margins: UnsafeMutablePointer<Float>
) {
  let infinity = Lanes(repeating: .infinity)
  for first in stride(from: 0, to: panelPoints, by: Lanes.scalarCount) {
    let length = root((squares + first).vector(Lanes.self)) * 1.02 + terms[5]
    let lost = root((lostSquares + first).vector(Lanes.self)) * 1.02 + terms[5]
    let margin = (length * terms[2] + terms[1]) * length + (lost * terms[3] + terms[0])
    (margins + first).store(
      choose(margin, whereLess: length, Lanes(repeating: terms[4]), else: infinity))
  }
  for r in count..<panelPoints { margins[r] = .infinity }
}
