/// How the weight gradient is cut: sums over `groups` of tiles, in blocks of channels.
private struct WeightGradientPlan {
  /// Depends on nothing but sizes, so that the order of summation does.
  let groups: Int
  let inputBlocks, outputBlocks: Int
  let inputs, outputs: Int
  /// Elements of the points of a block's filters.
  let size: Int

  var blocks: Int { inputBlocks * outputBlocks }

  /// Filters whose sums stay near, with those of other groups.
  private static let nearFilters = 1 << 17

  init(_ tiles: any WinogradTiles, threads: Int) {
    groups = max(
      1, min(8, tiles.tiles / 256, Self.nearFilters / (tiles.inputs * tiles.outputs)))
    var (inputBlocks, outputBlocks) = (1, 1)
    let step = WinogradConvolution.channelStep
    while threads > 1, groups * inputBlocks * outputBlocks < 2 * threads {
      if tiles.outputs % (2 * outputBlocks * step) == 0 {
        outputBlocks *= 2
      } else if tiles.inputs % (2 * inputBlocks * step) == 0 {
        inputBlocks *= 2
      } else {
        break
      }
    }
    (self.inputBlocks, self.outputBlocks) = (inputBlocks, outputBlocks)
    inputs = tiles.inputs / inputBlocks
    outputs = tiles.outputs / outputBlocks
    size = tiles.form.points * tiles.form.sections * inputs * outputs
  }
}

extension WinogradConvolution {
  /// Elements that `weightGradient` needs besides its operands.
  public func weightGradientScratchCount(threads: Int) -> Int {
    let plan = WeightGradientPlan(tiles, threads: threads)
    let slot =
      tiles.form.points * (tiles.inputStride(plan.inputs) + tiles.outputStride(plan.outputs))
    let sums =
      plan.groups * plan.blocks * plan.size + max(tiles.inputs, tiles.outputs) + threads * slot
    return max(sums, tiles.evenScratchCount)
  }

  /// `out` [outputs, inputs, kernel] = the gradient of the weights from the inputs `x` and the
  /// outputs' `gradient`; false, and nothing written, where taps see little of what their tiles
  /// hold.
  public func weightGradient(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, threads: Int
  ) -> Bool {
    guard tiles.isEven(x, gradient, scratch: scratch) else { return false }
    let plan = WeightGradientPlan(tiles, threads: threads)
    tiles.addProducts(plan, x, gradient, scratch, threads)
    tiles.finish(plan, scratch, out)
    return true
  }
}

extension WinogradTiles {
  /// `sums` [groups, blocks, points, sections, block inputs, block outputs]; then comes what the
  /// work needs.
  fileprivate func addProducts(
    _ plan: WeightGradientPlan, _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    _ sums: UnsafeMutablePointer<Float>, _ threads: Int
  ) {
    let (inputs, outputs, tiles, form) = (inputs, outputs, tiles, form)
    let (kernels, transforms, chunk) = (kernels, transforms, mostChunkTiles)
    // Points are [channels / lanes, capacity, lanes].
    let (lanes, capacity) = (kernels.lanes, capacity)
    let zeros = sums + plan.groups * plan.blocks * plan.size
    zeros.update(repeating: 0, count: max(inputs, outputs))
    let (inputStride, outputStride) = (inputStride(plan.inputs), outputStride(plan.outputs))
    let slots = ScratchSlots(
      zeros + max(inputs, outputs), count: threads,
      stride: form.points * (inputStride + outputStride))
    let chunks = (tiles + chunk - 1) / chunk
    let tilesPerGroup = (chunks + plan.groups - 1) / plan.groups * chunk

    parallelFor(plan.groups * plan.blocks, grain: 1) { range in
      for unit in range {
        let (group, block) = unit.quotientAndRemainder(dividingBy: plan.blocks)
        let last = min((group + 1) * tilesPerGroup, tiles)
        let total = sums + unit * plan.size
        total.update(repeating: 0, count: plan.size)
        slots.borrow { slot in
          for start in stride(from: group * tilesPerGroup, to: last, by: chunk) {
            let range = start..<min(start + chunk, last)
            let read = range.lowerBound..<range.upperBound + form.parts - 1
            let gradients = slot + form.points * inputStride
            withPatches(
              read, x, channels: inputs, offset: block / plan.outputBlocks * plan.inputs,
              outside: zeros
            ) {
              for phase in 0..<form.phases {
                transforms.patches(
                  $0 + phase * read.count * form.pixels, read.count, plan.inputs,
                  slot + phase * plan.inputs * capacity, inputStride, lanes, capacity)
              }
            }
            withOutputs(
              range, UnsafeMutablePointer(mutating: gradient), channels: outputs,
              offset: block % plan.outputBlocks * plan.outputs, outside: zeros
            ) { rows in
              rows.withMemoryRebound(
                to: UnsafePointer<Float>.self, capacity: form.outputs * range.count
              ) {
                transforms.gradients(
                  $0, form.outputSide, range.count, plan.outputs, gradients, outputStride, lanes,
                  capacity)
              }
            }
            kernels.addTransposedProducts(
              slot, inputStride, gradients, outputStride, capacity, total, form.points,
              form.parts, form.phases * plan.inputs, range.count, plan.outputs)
          }
        }
      }
    }
  }

  /// Adds the groups in order and transforms them back.
  fileprivate func finish(
    _ plan: WeightGradientPlan, _ sums: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) {
    let (inputs, form, transforms) = (inputs, form, transforms)
    let rows = form.sections * plan.inputs
    let places = (0..<form.sections).map { section in
      let taps = section * form.partTaps..<min((section + 1) * form.partTaps, form.taps)
      return taps.map { order?.places[$0] ?? $0 }
    }
    parallelFor(plan.blocks * rows, grain: 8) { range in
      withUnsafeTemporaryAllocation(
        of: Float.self, capacity: (form.points + form.partTaps) * plan.outputs
      ) { buffer in
        let points = buffer.baseAddress!
        let taps = points + form.points * plan.outputs
        for unit in range {
          let (block, row) = unit.quotientAndRemainder(dividingBy: rows)
          let source = sums + block * plan.size + row * plan.outputs
          for point in 0..<form.points {
            let target = points + point * plan.outputs
            let addends = source + point * rows * plan.outputs
            target.update(from: addends, count: plan.outputs)
            for group in 1..<max(plan.groups, 1) {
              let addend = addends + group * plan.blocks * plan.size
              for i in 0..<plan.outputs { target[i] += addend[i] }
            }
          }
          transforms.weightGradients(points, form.tapSide, plan.outputs, taps)
          let (section, place) = row.quotientAndRemainder(dividingBy: plan.inputs)
          let input = block / plan.outputBlocks * plan.inputs + place
          let output = block % plan.outputBlocks * plan.outputs
          gatherTaps(
            taps, count: plan.outputs, places[section],
            out + (output * inputs + input) * form.taps, stride: inputs * form.taps)
        }
      }
    }
  }
}

/// `filters[i][places[t]] = values[t, i]` for `count` filters that lie `stride` apart.
private func gatherTaps(
  _ values: UnsafePointer<Float>, count: Int, _ places: [Int],
  _ filters: UnsafeMutablePointer<Float>, stride: Int
) {
  places.withUnsafeBufferPointer { places in
    for i in 0..<count {
      for (t, place) in places.enumerated() { filters[i * stride + place] = values[t * count + i] }
    }
  }
}
