import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// Rows of recurrent layers in one instruction set; they are documented in `VQTiles`.
struct RecurrentKernels {
  typealias Input = UnsafePointer<Float>
  typealias Output = UnsafeMutablePointer<Float>

  let lstm: (Output, Input, Input, Output, Output, Int) -> Void
  let lstmGradient: (Input, Input, Input, Input, Output, Output, Int) -> Void
  let gru: (Output, Input, Input, Input, Input, Output, Output, Int) -> Void
  let gruGradient: (Input, Input, Input, Output, Output, Output, Int) -> Void
  let elman: (Bool, Input, Input, Output, Int) -> Void
  let elmanGradient: (Bool, Input, Input, Output, Int) -> Void

  static let usable = RecurrentKernels(.usable)
}

extension RecurrentKernels: VectorKernels {
  static let portable = RecurrentKernels(
    lstm: VQTiles.lstmRow(_:bias:before:_:_:count:),
    lstmGradient: VQTiles.lstmGradientRow(_:before:_:dy:dc:_:count:),
    gru: VQTiles.gruRow(_:hidden:bias:hiddenBias:before:_:_:count:),
    gruGradient: VQTiles.gruGradientRow(_:_:before:dy:_:hidden:count:),
    elman: VQTiles.elmanRow(rectified:_:bias:_:count:),
    elmanGradient: VQTiles.elmanGradientRow(rectified:_:dy:_:count:))

  #if arch(x86_64)
    static let avx2 = RecurrentKernels(
      lstm: VQTilesAVX2.lstmRow(_:bias:before:_:_:count:),
      lstmGradient: VQTilesAVX2.lstmGradientRow(_:before:_:dy:dc:_:count:),
      gru: VQTilesAVX2.gruRow(_:hidden:bias:hiddenBias:before:_:_:count:),
      gruGradient: VQTilesAVX2.gruGradientRow(_:_:before:dy:_:hidden:count:),
      elman: VQTilesAVX2.elmanRow(rectified:_:bias:_:count:),
      elmanGradient: VQTilesAVX2.elmanGradientRow(rectified:_:dy:_:count:))

    static let avx512 = RecurrentKernels(
      lstm: VQTilesAVX512.lstmRow(_:bias:before:_:_:count:),
      lstmGradient: VQTilesAVX512.lstmGradientRow(_:before:_:dy:dc:_:count:),
      gru: VQTilesAVX512.gruRow(_:hidden:bias:hiddenBias:before:_:_:count:),
      gruGradient: VQTilesAVX512.gruGradientRow(_:_:before:dy:_:hidden:count:),
      elman: VQTilesAVX512.elmanRow(rectified:_:bias:_:count:),
      elmanGradient: VQTilesAVX512.elmanGradientRow(rectified:_:dy:_:count:))
  #endif
}

/// Samples that one thread takes at a time: an element takes some exponentials.
private func forEachSample(_ samples: Int, _ count: Int, _ body: (Int) -> Void) {
  parallelFor(samples, grain: max(1, (elementGrain >> 2) / max(count, 1))) { range in
    for sample in range { body(sample) }
  }
}

/// `lstmRow` of every sample: gates [samples, 4, count], before, c and y [samples, count].
public func lstmStep(
  _ gates: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>, before: UnsafePointer<Float>,
  _ c: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>, samples: Int, count: Int
) {
  let kernel = RecurrentKernels.usable.lstm
  forEachSample(samples, count) { sample in
    let start = sample * count
    kernel(gates + 4 * start, bias, before + start, c + start, y + start, count)
  }
}

/// `lstmGradientRow` of every sample, `out` [samples, 4, count].
public func lstmStepGradient(
  _ gates: UnsafePointer<Float>, before: UnsafePointer<Float>, _ c: UnsafePointer<Float>,
  dy: UnsafePointer<Float>, dc: UnsafeMutablePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  samples: Int, count: Int
) {
  let kernel = RecurrentKernels.usable.lstmGradient
  forEachSample(samples, count) { sample in
    let start = sample * count
    kernel(
      gates + 4 * start, before + start, c + start, dy + start, dc + start, out + 4 * start, count)
  }
}

/// `gruRow` of every sample: gates and hidden [samples, 3, count], before, q and y
/// [samples, count].
public func gruStep(
  _ gates: UnsafeMutablePointer<Float>, hidden: UnsafePointer<Float>, bias: UnsafePointer<Float>,
  hiddenBias: UnsafePointer<Float>, before: UnsafePointer<Float>, _ q: UnsafeMutablePointer<Float>,
  _ y: UnsafeMutablePointer<Float>, samples: Int, count: Int
) {
  let kernel = RecurrentKernels.usable.gru
  forEachSample(samples, count) { sample in
    let start = sample * count
    kernel(
      gates + 3 * start, hidden + 3 * start, bias, hiddenBias, before + start, q + start, y + start,
      count)
  }
}

/// `gruGradientRow` of every sample, `out` and `hidden` [samples, 3, count].
public func gruStepGradient(
  _ gates: UnsafePointer<Float>, _ q: UnsafePointer<Float>, before: UnsafePointer<Float>,
  dy: UnsafeMutablePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  hidden: UnsafeMutablePointer<Float>, samples: Int, count: Int
) {
  let kernel = RecurrentKernels.usable.gruGradient
  forEachSample(samples, count) { sample in
    let start = sample * count
    kernel(
      gates + 3 * start, q + start, before + start, dy + start, out + 3 * start, hidden + 3 * start,
      count)
  }
}

/// `elmanRow` of every sample, sums and y [samples, count].
public func elmanStep(
  rectified: Bool, _ sums: UnsafePointer<Float>, bias: UnsafePointer<Float>,
  _ y: UnsafeMutablePointer<Float>, samples: Int, count: Int
) {
  let kernel = RecurrentKernels.usable.elman
  forEachSample(samples, count) { sample in
    kernel(rectified, sums + sample * count, bias, y + sample * count, count)
  }
}

/// `elmanGradientRow` of every sample.
public func elmanStepGradient(
  rectified: Bool, _ y: UnsafePointer<Float>, dy: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, samples: Int, count: Int
) {
  let kernel = RecurrentKernels.usable.elmanGradient
  forEachSample(samples, count) { sample in
    let start = sample * count
    kernel(rectified, y + start, dy + start, out + start, count)
  }
}
