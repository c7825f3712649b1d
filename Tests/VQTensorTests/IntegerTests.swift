import Testing

@testable import VQTensor

@Suite struct IntegerTests {
  private let a = try! Tensor(codes: [7, -7, .max], shape: [3])
  private let b = try! Tensor(codes: [2, 2, 1], shape: [3])

  @Test func arithmeticWrapsAround() throws {
    #expect(try (a + b).codes == [9, -5, .min])
    #expect(try (a - b).codes == [5, -9, .max - 1])
    #expect(try (a * b).codes == [14, -14, .max])
    #expect(try (-a).codes == [-7, 7, -.max])
    #expect(try Tensor.floorDivided(a, b).codes == [3, -4, .max])
    #expect(try Tensor.remainder(a, b).codes == [1, 1, 0])
    #expect(try (b / b).values == [1, 1, 1])
  }

  @Test func integersBesideFloatsAreExactOrRefused() throws {
    let half = try Tensor([0.5], shape: [1])
    #expect(try (b * half).values == [1, 1, 0.5])
    expectError(
      "[multiply] element 2 = 2147483647: float32 would round it: convert with astype, or keep both "
        + "operands integers"
    ) { _ = try a * half }
  }

  @Test func comparisonsAreBool() throws {
    let truth = try Tensor.compared(.greater, a, b)
    #expect(truth.dtype == .bool && truth.codes == [1, 0, 1])
    #expect(try Tensor.bitwise(.and, truth, truth).dtype == .bool)
    #expect(try truth.sum().codes == [2])
    #expect(try truth.converted(to: .float32).values == [1, 0, 1])
  }

  @Test func meansAreFloat32() throws {
    let x = try Tensor(codes: [.max, .max, 1, 4], shape: [2, 2])
    #expect(try x.mean(axes: [1]).values == [0x1p31, 2.5])
  }

  @Test func sumsThatDoNotFitAreRefused() throws {
    expectError(
      "[sum] the sum = 4294967294: must fit in int32: convert with astype(float32)"
    ) { _ = try Tensor(codes: [.max, .max], shape: [2]).sum() }
  }

  @Test func numbersThatInt32DoesNotHoldAreRefused() throws {
    let x = try Tensor([1.5, .nan], shape: [2])
    expectError("[astype] element 1 = nan: must fit in int32") { _ = try x.converted(to: .int32) }
  }

  @Test func emptyAxes() throws {
    let none = try Tensor(codes: [], shape: [0, 3])
    #expect(try none.sum(axes: [0]).codes == [0, 0, 0])
    #expect(try (none + none).shape == [0, 3])
    expectError(
      "[max] shape [0, 3] has no elements: at least one element is required along axes [0]"
    ) { _ = try none.max(axes: [0]) }
  }
}
