import Testing
import VQTesting
import VQKernels

@testable import VQTensor

@Suite struct PoolingTests {
  private let image: [Float] = [1, 5, 2, 0, 3, 4, 9, -1, -2, -3, 7, 7, -5, -4, 6, 8]

  @Test func maxHandValue() throws {
    let x = try Tensor(image, shape: [1, 4, 4, 1]).requiringGrad()
    let y = try x.maxPool2d(kernel: (2, 2))
    #expect(y.shape == [1, 2, 2, 1])
    #expect(y.values == [5, 9, -2, 8])
    try y.backward(Tensor([1, 2, 3, 4], shape: [1, 2, 2, 1]))
    #expect(x.grad?.values == [0, 1, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0, 0, 4])
  }

  @Test func averageHandValue() throws {
    let x = try Tensor(image, shape: [1, 4, 4, 1]).requiringGrad()
    let y = try x.averagePool2d(kernel: (2, 2))
    #expect(y.values == [3.25, 2.5, -3.5, 7])
    try y.backward(Tensor([4, 8, 12, 16], shape: [1, 2, 2, 1]))
    #expect(x.grad?.values == [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
  }

  @Test func paddingNeverWinsAndCountsInTheMean() throws {
    let x = try Tensor([-1, -2, -3, -4], shape: [1, 2, 2, 1])
    #expect(try x.maxPool2d(kernel: (2, 2), padding: (1, 1)).values == [-1, -2, -3, -4])
    #expect(
      try x.averagePool2d(kernel: (2, 2), padding: (1, 1)).values == [-0.25, -0.5, -0.75, -1])
  }

  @Test func firstOfEqualOnesTakesTheGradient() throws {
    let x = try Tensor([2, 2, 2, 2], shape: [1, 2, 2, 1]).requiringGrad()
    try x.maxPool2d(kernel: (2, 2)).backward()
    #expect(x.grad?.values == [1, 0, 0, 0])
  }

  @Test func notANumberWins() throws {
    let x = try Tensor([9, .nan, .infinity, 1], shape: [1, 2, 2, 1])
    #expect(try x.maxPool2d(kernel: (2, 2)).values[0].isNaN)
  }

  /// Windows by definition: overlapping, ragged at the edge, with padding.
  @Test(arguments: [((3, 2), (2, 1), (1, 1)), ((3, 3), (1, 1), (0, 1)), ((1, 1), (2, 2), (0, 0))])
  func agreesWithFloat64(kernel: (Int, Int), stride: (Int, Int), padding: (Int, Int)) throws {
    let (n, h, w, c) = (2, 6, 7, 19)
    let x = try randomTensor([n, h, w, c], seed: 1, from: -1, to: 1)
    let values = x.values
    let oh = (h + 2 * padding.0 - kernel.0) / stride.0 + 1
    let ow = (w + 2 * padding.1 - kernel.1) / stride.1 + 1
    var (largest, mean): ([Double], [Double]) = ([], [])
    for image in 0..<n {
      for oy in 0..<oh {
        for ox in 0..<ow {
          for channel in 0..<c {
            var window: [Double] = []
            for ky in 0..<kernel.0 {
              for kx in 0..<kernel.1 {
                let (y, x) = (oy * stride.0 - padding.0 + ky, ox * stride.1 - padding.1 + kx)
                guard y >= 0, y < h, x >= 0, x < w else { continue }
                window.append(Double(values[((image * h + y) * w + x) * c + channel]))
              }
            }
            largest.append(window.max()!)
            mean.append(window.reduce(0, +) / Double(kernel.0 * kernel.1))
          }
        }
      }
    }
    let highest = try x.maxPool2d(kernel: kernel, stride: stride, padding: padding)
    #expect(highest.shape == [n, oh, ow, c])
    expectClose(highest, largest, relative: 0, absolute: 0)
    try expectClose(
      x.averagePool2d(kernel: kernel, stride: stride, padding: padding), mean, relative: 0,
      absolute: 0x1p-22)
  }

  /// The step is below half the distance of any two values, so that no other element comes to win.
  @Test func centralDifferences() throws {
    let order = [13, 2, 29, 7, 23, 0, 17, 11, 5, 19, 3, 27, 9, 21, 1, 15]
    let x = try Tensor(order.map { Float($0) / 4 }, shape: [1, 4, 4, 1])
    try checkGradient(
      of: {
        try $0[0].maxPool2d(kernel: (3, 3), stride: (2, 1), padding: (1, 1))
      }, at: [x], step: 0x1p-4)
    try checkGradient(
      of: {
        try $0[0].averagePool2d(kernel: (3, 2), stride: (2, 1), padding: (1, 1))
      }, at: [randomTensor([2, 5, 4, 3], seed: 1, from: -1, to: 1)])
  }

  @Test func emptyBatchAndSizeOne() throws {
    let empty = try Tensor.zeros([0, 4, 4, 3]).requiringGrad()
    let y = try empty.maxPool2d(kernel: (2, 2))
    #expect(y.shape == [0, 2, 2, 3])
    try y.backward(Tensor.zeros(y.shape))
    #expect(empty.grad?.shape == [0, 4, 4, 3])
    #expect(try empty.averagePool2d(kernel: (2, 2)).shape == [0, 2, 2, 3])
    let one = try Tensor([3], shape: [1, 1, 1, 1])
    #expect(try one.maxPool2d(kernel: (1, 1)).values == [3])
    #expect(try one.averagePool2d(kernel: (1, 1)).values == [3])
  }

  @Test func errors() throws {
    let x = try Tensor.zeros([1, 4, 4, 2])
    expectError("[max_pool2d] shape [4, 4, 2]: the input must be [n, h, w, c]") {
      try Tensor.zeros([4, 4, 2]).maxPool2d(kernel: (2, 2))
    }
    expectError("[max_pool2d] kernel = (2, 0): both sizes must be at least 1") {
      try x.maxPool2d(kernel: (2, 0))
    }
    expectError("[average_pool2d] padding = (0, 2): both must be at most half the kernel (2, 2)") {
      try x.averagePool2d(kernel: (2, 2), padding: (0, 2))
    }
    expectError("[average_pool2d] shape [1, 4, 4, 2]: the kernel 5x2 exceeds the padded input 4x4")
    {
      try x.averagePool2d(kernel: (5, 2))
    }
    expectError("[max_pool2d] dtype int32: float32 is required") {
      try Tensor(codes: [1], shape: [1, 1, 1, 1]).maxPool2d(kernel: (1, 1))
    }
  }
}
