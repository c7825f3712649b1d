/// How the weight gradient is cut: sums over `groups` of tiles, in blocks of channels.
private struct WeightGradientPlan {
  /// Depends on nothing but the tiles, so that the order of summation does.
  let groups: Int
  let inputBlocks, outputBlocks: Int
  let inputs, outputs: Int

  var blocks: Int { inputBlocks * outputBlocks }
  var blockCount: Int { inputs * outputs }

  init(_ convolution: WinogradConvolution, threads: Int) {
    groups = max(1, min(8, convolution.tiles / 256))
    var (inputBlocks, outputBlocks) = (1, 1)
    let step = WinogradConvolution.channelStep
    while threads > 1, groups * inputBlocks * outputBlocks < 2 * threads {
      if convolution.outputs % (2 * outputBlocks * step) == 0 {
        outputBlocks *= 2
      } else if convolution.inputs % (2 * inputBlocks * step) == 0 {
        inputBlocks *= 2
      } else {
        break
      }
    }
    (self.inputBlocks, self.outputBlocks) = (inputBlocks, outputBlocks)
    inputs = convolution.inputs / inputBlocks
    outputs = convolution.outputs / outputBlocks
  }
}

extension WinogradConvolution {
  /// Elements that `weightGradient` needs besides its operands.
  public func weightGradientScratchCount(threads: Int) -> Int {
    let plan = WeightGradientPlan(self, threads: threads)
    let slot = Self.points * (pointStride(plan.inputs) + pointStride(plan.outputs))
    let sums = Self.points * plan.groups * inputs * outputs + max(inputs, outputs) + threads * slot
    return max(sums, evenScratchCount())
  }

  /// `out` [outputs, inputs, 3, 3] = the gradient of the weights from the inputs `x` and the
  /// outputs' `gradient`; false, and nothing written, where taps see little of what their tiles
  /// hold.
  public func weightGradient(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, threads: Int
  ) -> Bool {
    guard isEven(x, gradient, scratch: scratch) else { return false }
    let plan = WeightGradientPlan(self, threads: threads)
    // [groups, blocks, points, block inputs, block outputs]
    let sums = scratch
    let zeros = sums + Self.points * plan.groups * inputs * outputs
    zeros.update(repeating: 0, count: max(inputs, outputs))
    let (inputStride, outputStride) = (pointStride(plan.inputs), pointStride(plan.outputs))
    let slots = ScratchSlots(
      zeros + max(inputs, outputs), count: threads,
      stride: Self.points * (inputStride + outputStride))
    let chunksPerGroup = (chunks + plan.groups - 1) / plan.groups
    let size = Self.points * plan.blockCount

    parallelFor(plan.groups * plan.blocks, grain: 1) { range in
      for unit in range {
        let (group, block) = unit.quotientAndRemainder(dividingBy: plan.blocks)
        let first = group * chunksPerGroup * chunkTiles
        let last = min(first + chunksPerGroup * chunkTiles, tiles)
        let total = sums + unit * size
        total.update(repeating: 0, count: size)
        slots.borrow { slot in
          for start in stride(from: first, to: last, by: chunkTiles) {
            let range = start..<min(start + chunkTiles, last)
            let gradients = slot + Self.points * inputStride
            withPatches(
              range, x, channels: inputs, offset: block / plan.outputBlocks * plan.inputs,
              outside: zeros
            ) { kernels.transformPatches($0, range.count, plan.inputs, slot, inputStride) }
            withTiles(
              range, UnsafeMutablePointer(mutating: gradient), channels: outputs,
              offset: block % plan.outputBlocks * plan.outputs, outside: zeros
            ) { tiles in
              tiles.withMemoryRebound(
                to: UnsafePointer<Float>.self, capacity: 16 * range.count
              ) {
                kernels.transformGradients(
                  $0, range.count, plan.outputs, gradients, outputStride)
              }
            }
            kernels.addTransposedProducts(
              slot, inputStride, gradients, outputStride, total, Self.points, plan.inputs,
              range.count, plan.outputs)
          }
        }
      }
    }
    finish(plan, sums, out)
    return true
  }

  /// Adds the groups in order and transforms them back.
  private func finish(
    _ plan: WeightGradientPlan, _ sums: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) {
    let size = Self.points * plan.blockCount
    parallelFor(plan.blocks * plan.inputs, grain: 8) { range in
      withUnsafeTemporaryAllocation(
        of: Float.self, capacity: (Self.points + Self.taps) * plan.outputs
      ) { buffer in
        let points = buffer.baseAddress!
        let taps = points + Self.points * plan.outputs
        for unit in range {
          let (block, row) = unit.quotientAndRemainder(dividingBy: plan.inputs)
          let source = sums + block * size + row * plan.outputs
          for point in 0..<Self.points {
            let target = points + point * plan.outputs
            let part = source + point * plan.blockCount
            target.update(from: part, count: plan.outputs)
            for group in 1..<max(plan.groups, 1) {
              let addend = part + group * plan.blocks * size
              for i in 0..<plan.outputs { target[i] += addend[i] }
            }
          }
          kernels.transformWeightGradients(points, plan.outputs, 0, plan.outputs, taps)
          let input = block / plan.outputBlocks * plan.inputs + row
          let output = block % plan.outputBlocks * plan.outputs
          gatherTaps(
            taps, count: plan.outputs, out + (output * inputs + input) * Self.taps,
            stride: inputs * Self.taps)
        }
      }
    }
  }
}

/// `filters[i][t] = taps[t, i]` for `count` filters of nine taps that lie `stride` apart.
private func gatherTaps(
  _ taps: UnsafePointer<Float>, count: Int, _ filters: UnsafeMutablePointer<Float>, stride: Int
) {
  for i in 0..<count {
    for t in 0..<9 { filters[i * stride + t] = taps[t * count + i] }
  }
}
