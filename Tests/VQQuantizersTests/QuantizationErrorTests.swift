import Testing
import VQTesting

@testable import VQMetrics
@testable import VQQuantizers

@Suite struct QuantizationErrorTests {
  @Test func quantizationErrorLeavesMaskedVectorsOut() throws {
    let z = try Tensor([1, 2, .nan, 0, 3, -1], shape: [3, 2])
    let zq = try Tensor([1, 1, 0, 0, 2, 0], shape: [3, 2])
    let mask = try Tensor(codes: [1, 0, 2], shape: [3])
    #expect(try quantizationError(z, zq, mask: mask) == 0.75)
    #expect(try quantizationError(z, zq).isNaN)
    #expect(try quantizationError(zq, zq.reshape([3, 2])) == 0)
    let wide = try sample([50, 19], seed: 5)
    #expect(
      try quantizationError(
        wide, .zeros([50, 19]), mask: Tensor(codes: .init(repeating: 1, count: 50), shape: [50]))
        == mse(wide, .zeros([50, 19])))
  }

  @Test func gradientGapIsTheSquaredDifferenceOfEachPair() throws {
    let (a, b) = (try Tensor([1, 2, 3], shape: [3]), try Tensor([1, 4, 0], shape: [3]))
    #expect(try gradientGap(exact: [a, b, b], quantized: [b, b, a]) == [13, 0, 13])
    #expect(try gradientGap(exact: [], quantized: []) == [])
    #expect(
      errorText { try gradientGap(exact: [a], quantized: []) }
        == "[gradient_gap] quantized = 0 gradients: 1 are required")
    #expect(
      errorText { try gradientGap(exact: [a], quantized: [.ones([2])]) }
        == "[gradient_gap] shapes [3] and [2]: they must be equal")
  }

  @Test func refusesMasksThatDoNotFit() throws {
    let a = try Tensor.ones([1, 12, 12, 3])
    #expect(
      errorText { try quantizationError(a, a, mask: Tensor(codes: [1], shape: [1])) }
        == "[quantization_error] shapes [1] and [1, 12, 12]: the mask must have z's shape without the channel axis"
    )
    let z = try Tensor.ones([1, 2])
    #expect(
      errorText { try quantizationError(z, z, mask: Tensor(codes: [0], shape: [1])) }
        == "[quantization_error] shape [1, 2] has no elements: the mask must keep at least one")
  }
}
