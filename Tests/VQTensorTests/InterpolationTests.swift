import Testing
import VQTesting

@testable import VQTensor

@Suite struct InterpolationTests {
  @Test func handValues() throws {
    let x = try Tensor([0, 1, 3], shape: [1, 3, 1])
    #expect(
      try x.interpolated(scaleFactor: [2], mode: .linear).values == [0, 0.25, 0.75, 1.5, 2.5, 3])
    #expect(
      try x.interpolated(size: [5], mode: .linear, alignCorners: true).values == [0, 0.5, 1, 2, 3])
    #expect(try x.interpolated(size: [2]).values == [0, 1])
    #expect(try x.interpolated(size: [2], mode: .nearestExact).values == [0, 3])
  }

  @Test func cubicsGoThroughTheElements() throws {
    let x = try randomTensor([2, 4, 3, 5], seed: 1, from: -1, to: 1)
    let y = try x.interpolated(size: [7, 5], mode: .bicubic, alignCorners: true)
    for (row, column) in [(0, 0), (1, 2), (3, 1)] {
      for channel in 0..<5 {
        let found = y.values[((2 * row) * 5 + 2 * column) * 5 + channel]
        let expected = x.values[(row * 3 + column) * 5 + channel]
        #expect(abs(found - expected) < 1e-6)
      }
    }
  }

  @Test(arguments: [
    ([1, 3, 2], InterpolationMode.linear), ([2, 3, 4, 2], .bilinear), ([1, 4, 3, 2], .bicubic),
    ([1, 2, 3, 2, 2], .trilinear), ([1, 5, 2, 3], .nearest),
  ])
  func centralDifferences(shape: [Int], mode: InterpolationMode) throws {
    for factor in [0.7, 1.6] {
      try checkGradient(
        of: { try $0[0].interpolated(scaleFactor: [factor], mode: mode) },
        at: [randomTensor(shape, seed: 1, from: -1, to: 1)])
    }
  }

  @Test func transposedTwiceIsTheSame() throws {
    let map = try AxisMap("map", from: 4, to: 7, most: 2) { place, add in
      add(place / 2, 0.5)
      add(min(place / 2 + 1, 3), 0.25)
    }
    let x = try randomTensor([1, 4, 1, 3], seed: 2, from: -1, to: 1)
    func image(_ map: AxisMap) throws -> [Float] {
      try x.resampled("map", images: x.shape, rows: map, columns: nil, shape: [7, 3]).values
    }
    #expect(try image(map) == image(map.transposed().transposed()))
  }

  @Test func errors() throws {
    expectError("[interpolate] size = none: a size or a scale_factor is required, and not both") {
      try Tensor.zeros([1, 2, 1]).interpolated()
    }
    expectError("[interpolate] shape [1, 2, 1]: mode bilinear requires [n, h, w, c]") {
      try Tensor.zeros([1, 2, 1]).interpolated(size: [3], mode: .bilinear)
    }
    expectError(
      "[interpolate] align_corners = true: mode nearest has no places between elements"
    ) { try Tensor.zeros([1, 2, 1]).interpolated(size: [3], alignCorners: true) }
  }
}
