import Glibc
import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct FSQTests {
  @Test func handValues() throws {
    let layer = try FSQ(levels: [3, 5, 4])
    let result = try layer.quantize(Tensor([0.25, 0.6, -7], shape: [3]))
    #expect(result.zq.values == [0, 0.5, -1])
    #expect(result.q.codes == [10])
    #expect(try layer.decode(Tensor(codes: [10, -1], shape: [2])).values == [0, 0.5, -1, 0, 0, 0])
    #expect(layer.codeCount == 60)
    #expect(layer.namedParameters.isEmpty)
  }

  /// Two levels: -1 and 0, since `L / 2` is 1 and the offset 1/2.
  @Test func twoLevels() throws {
    let layer = try FSQ(levels: [2, 2])
    let result = try layer.quantize(Tensor([-9, 9, 9, -9], shape: [2, 2]))
    #expect(result.zq.values == [-1, 0, 0, -1])
    #expect(result.q.codes == [2, 1])
  }

  /// `bound(z) / (L / 2)` in Float64.
  private static func bounded(_ z: Double, _ level: Int) -> Double {
    let half = Double(level - 1) * 1.001 / 2
    let offset = level % 2 == 0 ? 0.5 : 0
    return tanh(z + atanh(offset / half)) * half - offset
  }

  @Test(arguments: [[3], [8, 5, 5, 5], [2, 3, 4, 5, 6, 7, 8], [8, 8, 8, 6, 5], [1000, 11]])
  func equalsReference(levels: [Int]) throws {
    let layer = try FSQ(levels: levels)
    let z = try sample([700, levels.count], seed: 3, scale: 2)
    let result = try layer.quantize(z)
    var weights = [1]
    for level in levels { weights.append(weights.last! * level) }
    var misplaced = 0
    for row in 0..<700 {
      var (code, distance) = (0, 0.0)
      for (l, level) in levels.enumerated() {
        let bounded = Self.bounded(Double(z.values[row * levels.count + l]), level)
        let rounded = bounded.rounded(.toNearestOrEven)
        // Only where a half is nearer than the rounding of tanh, of its shift and of their product.
        let isTie = abs(abs(bounded - rounded) - 0.5) < Double(level) * 8 * 0x1p-24
        let given = result.zq.values[row * levels.count + l]
        if isTie {
          misplaced += 1
        } else {
          #expect(given == Float(rounded) / Float(level / 2))
        }
        let compared = result.z.values[row * levels.count + l]
        #expect(abs(Double(compared) - bounded / Double(level / 2)) < 16 * 0x1p-24)
        code += Int((given * Float(level / 2) + Float(level / 2)).rounded()) * weights[l]
        distance += pow(Double(compared - given), 2)
      }
      #expect(Int(result.q.codes[row]) == code)
      #expect(abs(Double(result.d.values[row]) - distance) <= distance * 16 * 0x1p-24)
    }
    #expect(misplaced < 7)
  }

  @Test(arguments: [[3, 5, 4], [2, 2, 2], [7], [8, 6, 5]])
  func everyCodeIsReached(levels: [Int]) throws {
    let layer = try FSQ(levels: levels)
    let codes = try Tensor(codes: (0..<layer.codeCount).map(Int32.init), shape: [layer.codeCount])
    let values = try layer.decode(codes)
    #expect(Set(values.values.map { abs($0) }).max()! <= 1)
    // A vector whose bound is the value: the inverse of bound in Float64.
    let inverse = values.values.enumerated().map { index, value -> Float in
      let level = levels[index % levels.count]
      let half = Double(level - 1) * 1.001 / 2
      let offset = level % 2 == 0 ? 0.5 : 0.0
      let t = (Double(value) * Double(level / 2) + offset) / half
      return Float(atanh(min(max(t, -0.9999), 0.9999)) - atanh(offset / half))
    }
    let result = try layer.quantize(Tensor(inverse, shape: values.shape))
    #expect(result.q.codes == codes.codes)
    #expect(result.zq.values == values.values)
    #expect(result.activeCodes == layer.codeCount)
    #expect(abs(result.perplexity - Float(layer.codeCount)) < Float(layer.codeCount) * 0x1p-20)
  }

  /// The factor 1 + 1e-3 lifts the ends of 2001 levels by a whole level.
  @Test(arguments: [2001, 2000, 4_194_304]) func endsStayInRange(level: Int) throws {
    let layer = try FSQ(levels: [level])
    let result = try layer.quantize(Tensor([-100, 100], shape: [2, 1]))
    #expect(result.q.codes == [0, Int32(level - 1)])
    #expect(result.zq.values[0] == -1)
    #expect(try layer.decode(result.q).values == result.zq.values)
  }

  @Test func gradientIsThatOfTheBound() throws {
    let layer = try FSQ(levels: [3, 8, 5])
    let z = try gridSample([5, 3], seed: 4)
    try checkGradient(of: { try layer.quantize($0[0]).z }, at: [z])
    let cotangent = try sample([5, 3], seed: 5)
    let through = try pullback([z], cotangent) { try layer.quantize($0[0]).zq }
    let bound = try pullback([z], cotangent) { try layer.quantize($0[0]).z }
    #expect(through[1].values == bound[1].values)
    #expect(through[0].values != bound[0].values)
  }

  @Test func lossAddsToTheTask() throws {
    let layer = try FSQ(levels: [3, 5])
    let z = try sample([4, 2], seed: 6).requiringGrad()
    let result = try layer.quantize(z)
    let total = try result.loss * 10 + result.zq.square().sum()
    try total.backward()
    #expect(z.grad != nil)
    #expect(try result.loss.item() == 0)
  }

  /// Beyond a million codes the usage comes from the sorted codes.
  @Test func usageOfManyCodes() throws {
    let wide = try FSQ(levels: [4096, 4096])
    let narrow = try FSQ(levels: [1024, 1024])
    for layer in [wide, narrow] {
      let z = try Tensor([0, 0, 1, 1, 0, 0, -1, 2], shape: [4, 2])
      let result = try layer.quantize(z)
      #expect(result.activeCodes == 3)
      // H of (1/2, 1/4, 1/4) is 1.5 bits.
      #expect(abs(result.perplexity - 2.828427) < 1e-6)
    }
  }

  @Test(arguments: [
    ([], "levels = []: at least one is required"),
    ([3, 1], "levels = [3, 1]: each must be in 2...4194304"),
    ([3, -5], "levels = [3, -5]: each must be in 2...4194304"),
    ([4_194_305], "levels = [4194305]: each must be in 2...4194304"),
    ([65536, 32768], "levels = [65536, 32768]: their product must fit in int32"),
    (
      [Int](repeating: 4_194_304, count: 3),
      "levels = [4194304, 4194304, 4194304]: their product must fit in int32"
    ),
  ])
  func refusesBadLevels(levels: [Int], text: String) {
    #expect(errorText { try FSQ(levels: levels) } == "[fsq] \(text)")
  }

  @Test func refusesBadInput() throws {
    let layer = try FSQ(levels: [3, 5])
    #expect(
      errorText { try layer.quantize(.ones([4, 3])) }
        == "[fsq] shape [4, 3]: the last axis must be feature_size = 2")
    #expect(
      errorText { try layer.quantize(Tensor([1, .nan], shape: [2])) }
        == "[fsq] z holds nan at flat index 1: every element must be finite")
    #expect(
      errorText { try layer.decode(Tensor(codes: [15], shape: [1])) }
        == "[fsq.decode] index 15 is outside 0..<15")
  }
}
