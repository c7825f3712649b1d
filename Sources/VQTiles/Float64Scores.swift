// Two registers of each of four points keep both multipliers busy.
#if VQ_AVX512
  private typealias ScoreLanes = SIMD16<Double>
#elseif VQ_AVX2
  private typealias ScoreLanes = SIMD8<Double>
#else
  private typealias ScoreLanes = SIMD4<Double>
#endif

/// Codes of one tile of `float64Scores`; sixteen are a multiple of it.
public var float64TileCodes: Int { ScoreLanes.scalarCount }

/// `out[r, j] = starts[j] + sum_i x[r, i] code[j, i]` of four points in Float64, [4, stride];
/// lowers `least` [4] to the least of them.
///
/// - Parameters:
///   - x: [4, d].
///   - tiles: [count, d, float64TileCodes].
///   - starts: [count, float64TileCodes].
public func float64Scores(
  _ x: UnsafePointer<Double>, _ tiles: UnsafePointer<Double>, _ starts: UnsafePointer<Double>,
  width d: Int, count: Int, _ out: UnsafeMutablePointer<Double>, stride: Int,
  _ least: UnsafeMutablePointer<Double>
) {
  @inline(__always)
  func add(_ x: Double, _ code: ScoreLanes, to score: inout ScoreLanes) {
    #if VQ_AVX512 || VQ_AVX2
      score.addProduct(ScoreLanes(repeating: x), code)
    #else
      score += ScoreLanes(repeating: x) * code
    #endif
  }
  @inline(__always)
  func lower(_ least: inout ScoreLanes, _ score: ScoreLanes) {
    least.replace(with: score, where: score .< least)
  }
  let lanes = ScoreLanes.scalarCount
  var (a, b) = (ScoreLanes(repeating: least[0]), ScoreLanes(repeating: least[1]))
  var (c, e) = (ScoreLanes(repeating: least[2]), ScoreLanes(repeating: least[3]))
  for tile in 0..<count {
    let start = (starts + tile * lanes).vector(ScoreLanes.self)
    var (first, second, third, fourth) = (start, start, start, start)
    var code = tiles + tile * d * lanes
    for i in 0..<d {
      let values = code.vector(ScoreLanes.self)
      add(x[i], values, to: &first)
      add(x[d + i], values, to: &second)
      add(x[2 * d + i], values, to: &third)
      add(x[3 * d + i], values, to: &fourth)
      code += lanes
    }
    let target = out + tile * lanes
    target.store(first)
    (target + stride).store(second)
    (target + 2 * stride).store(third)
    (target + 3 * stride).store(fourth)
    lower(&a, first)
    lower(&b, second)
    lower(&c, third)
    lower(&e, fourth)
  }
  (least[0], least[1]) = (leastLane(a), leastLane(b))
  (least[2], least[3]) = (leastLane(c), leastLane(e))
}
