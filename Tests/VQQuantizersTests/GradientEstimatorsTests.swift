import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct GradientEstimatorsTests {
  // MARK: Rotation trick

  /// `|q| / |e| (I - 2 w w^T + 2 q^ e^T)` as a matrix, in Float64.
  private func rotation(_ e: [Double], _ q: [Double]) -> [[Double]] {
    func length(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    func unit(_ x: [Double]) -> [Double] { x.map { $0 / length(x) } }
    let (eHat, qHat) = (unit(e), unit(q))
    let w = unit(zip(eHat, qHat).map(+))
    return e.indices.map { i in
      e.indices.map { j in
        length(q) / length(e) * ((i == j ? 1 : 0) - 2 * w[i] * w[j] + 2 * qHat[i] * eHat[j])
      }
    }
  }

  @Test func rotationByHand() throws {
    // A quarter turn and a doubling: the gradient turns back.
    let z = try Tensor([1, 0], shape: [1, 2])
    let zq = try Tensor([0, 2], shape: [1, 2])
    let found = try pullback([z, zq], Tensor([3, 5], shape: [1, 2])) {
      try rotated(from: $0[0], to: $0[1])
    }
    #expect(found.map(\.values) == [[0, 2], [10, -6], [3, 5]])
  }

  @Test(arguments: [1, 2, 3, 19]) func rotationEqualsItsMatrix(d: Int) throws {
    let (z, zq) = (try sample([4, d], seed: 1, mean: 0.2), try sample([4, d], seed: 2, mean: 0.2))
    let g = try sample([4, d], seed: 3)
    let found = try pullback([z, zq], g) { try rotated(from: $0[0], to: $0[1]) }
    #expect(found[0].values == zq.values)
    #expect(found[2].values == g.values)
    for row in 0..<4 where d > 1 {
      func part(_ x: Tensor) -> [Double] { x.values[row * d..<(row + 1) * d].map(Double.init) }
      let matrix = rotation(part(z), part(zq))
      // The matrix turns e into q.
      let turned = matrix.map { zip($0, part(z)).reduce(0) { $0 + $1.0 * $1.1 } }
      #expect(isClose(turned.map(Float.init), part(zq).map(Float.init), 1e-6))
      let expected = (0..<d).map { j in
        zip(matrix, part(g)).reduce(0) { $0 + $1.0[j] * $1.1 }
      }
      #expect(isClose(part(found[1]).map(Float.init), expected.map(Float.init), 1e-6))
    }
  }

  @Test func rotationFallsBackToStraightThrough() throws {
    // e zero, q zero, e^ = -q^ exactly and up to rounding; then a code far along e itself.
    let z = try Tensor([0, 0, 1, 2, 1, -1, 0.1, 0.3, 1, 0], shape: [5, 2])
    let zq = try Tensor([1, 2, 0, 0, -2, 2, -0.3, -0.9, 3, 0], shape: [5, 2])
    let g = try sample([5, 2], seed: 4)
    let found = try pullback([z, zq], g) { try rotated(from: $0[0], to: $0[1]) }
    #expect(Array(found[1].values[..<6]) == Array(g.values[..<6]))
    #expect(isClose(Array(found[1].values[8...]), g.values[8...].map { 3 * $0 }, 1e-6))
    let opposite = try Tensor([0.1, 0.3, 0.7, -0.3], shape: [1, 4])
    let exact = try pullback([opposite, opposite * -4], .ones([1, 4])) {
      try rotated(from: $0[0], to: $0[1])
    }
    #expect(exact[1].values == [1, 1, 1, 1])
  }

  // MARK: Straight through

  @Test func straightThroughCopiesTheGradient() throws {
    let (z, zq) = (try sample([2, 3, 4], seed: 5), try sample([2, 3, 4], seed: 6))
    let g = try sample([2, 3, 4], seed: 7)
    let found = try pullback([z, zq], g) { try straightThrough(from: $0[0], to: $0[1]) }
    #expect(found.map(\.values) == [zq.values, g.values, g.values])
    let leaf = try z.requiringGrad()
    try straightThrough(from: leaf, to: zq).backward(g)
    #expect(leaf.grad!.values == g.values)
  }

  // MARK: Directional

  @Test func directionalEqualsItsFormula() throws {
    let (z, zq) = (try sample([37, 5], seed: 8), try sample([37, 5], seed: 9))
    let noise = try Generator(seed: 3, stream: 4).normal([37, 5]).values
    let generator = Generator(seed: 3, stream: 4)
    let found = try directional(from: z, to: zq, variance: 0.25, generator: generator).values
    for row in 0..<37 {
      let cells = row * 5..<(row + 1) * 5
      let difference = cells.map { Double(zq.values[$0]) - Double(z.values[$0]) }
      let moved = zip(cells, difference).map { $1 + 0.5 * Double(noise[$0]) }
      func length(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
      let factor = length(difference) / length(moved)
      let expected = zip(cells, moved).map { Float(Double(z.values[$0]) + factor * $1) }
      #expect(isClose(Array(found[cells]), expected, 1e-7))
    }
    // 185 elements, four words a block.
    #expect(generator.counter == 47)
  }

  /// The direction is detached: with it fixed at its noise, the derivative is that of the distance
  /// alone.
  @Test(arguments: [1, 2, 7]) func directionalGradientIsExact(d: Int) throws {
    let z = try gridSample([3, d], seed: 10)
    let zq = try gridSample([3, d], seed: 11, mean: 3)
    let y = try directional(from: z, to: zq, variance: 0.3, generator: Generator(seed: 1))
    let direction = try (y - z).unitRows()
    let g = try sample([3, d], seed: 12)
    let found = try pullback([z, zq], g) {
      try directional(from: $0[0], to: $0[1], variance: 0.3, generator: Generator(seed: 1))
    }
    let expected = try pullback([z, zq], g) {
      let distance = try ($0[1] - $0[0]).square().sum(axes: [1], keepDims: true).sqrt()
      return try $0[0] + distance * direction
    }
    for (left, right) in zip(found, expected) { #expect(isClose(left.values, right.values, 1e-6)) }
    try checkGradient(
      of: {
        let distance = try ($0[1] - $0[0]).square().sum(axes: [1], keepDims: true).sqrt()
        let value = try $0[0] + distance * direction
        // The operator's gradients, the fixed direction's values.
        let fused = try directional(
          from: $0[0], to: $0[1], variance: 0.3, generator: Generator(seed: 1))
        return try fused + (value - fused).detached()
      }, at: [z, zq])
  }

  @Test func directionalWithoutNoiseIsTheCode() throws {
    let (z, zq) = (try sample([9, 6], seed: 13), try sample([9, 6], seed: 14))
    let y = try directional(from: z, to: zq, variance: 0, generator: Generator(seed: 1))
    #expect(y.values == zq.values)
  }

  @Test func directionalAtDistanceZeroIsTheVector() throws {
    let z = try Tensor([1, 2, 0, 0], shape: [2, 2])
    let g = try Tensor([3, -4, 5, 6], shape: [2, 2])
    let found = try pullback([z, z], g) {
      try directional(from: $0[0], to: $0[1], variance: 1, generator: Generator(seed: 1))
    }
    #expect(found.map(\.values) == [z.values, g.values, [0, 0, 0, 0]])
  }

  // MARK: All

  @Test func sameForEveryThreadCount() throws {
    let (z, zq) = (try sample([2111, 19], seed: 15), try sample([2111, 19], seed: 16))
    let g = try sample([2111, 19], seed: 17)
    try expectThreadIndependent {
      try pullback([z, zq], g) { try rotated(from: $0[0], to: $0[1]) }
        + pullback([z, zq], g) {
          try directional(from: $0[0], to: $0[1], variance: 0.1, generator: Generator(seed: 2))
        }
    }
  }

  @Test func emptyInputs() throws {
    let empty = try Tensor([], shape: [0, 3])
    #expect(try rotated(from: empty, to: empty).shape == [0, 3])
    #expect(try straightThrough(from: empty, to: empty).shape == [0, 3])
    #expect(
      try directional(from: empty, to: empty, variance: 1, generator: Generator(seed: 1)).shape
        == [0, 3])
  }

  @Test func refusals() throws {
    let (a, b) = (try Tensor.ones([2, 3]), try Tensor.ones([2, 4]))
    #expect(
      errorText { try rotated(from: a, to: b) }
        == "[rotation_trick] shapes [2, 3] and [2, 4]: z and zq of one shape [..., d], d at least 1, are required"
    )
    #expect(
      errorText { try straightThrough(from: Tensor(codes: [1], shape: [1]), to: a) }
        == "[straight_through] dtypes int32 and float32: float32 is required")
    #expect(
      errorText { try directional(from: a, to: a, variance: -1, generator: Generator(seed: 1)) }
        == "[directional] variance = -1.0: must be finite and at least 0")
  }
}
