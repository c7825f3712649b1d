import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// Elements of one partial sum; fixed, so that the order of summation is.
private let chunkElements = 1 << 16

/// Sums in one instruction set; they are documented in `VQTiles`.
struct SumKernels {
  let row: (UnsafePointer<Float>, Int) -> Double
  let columns: (UnsafePointer<Float>, Int, Int, UnsafeMutablePointer<Double>) -> Void

  static let usable = SumKernels(.usable)
}

extension SumKernels: VectorKernels {
  static let portable = SumKernels(
    row: VQTiles.rowSum(_:_:), columns: VQTiles.columnSums(_:rows:columns:_:))

  #if arch(x86_64)
    static let avx2 = SumKernels(
      row: VQTilesAVX2.rowSum(_:_:), columns: VQTilesAVX2.columnSums(_:rows:columns:_:))

    static let avx512 = SumKernels(
      row: VQTilesAVX512.rowSum(_:_:), columns: VQTilesAVX512.columnSums(_:rows:columns:_:))
  #endif
}

/// `out[o, i] = scale * sum over l of x[o, l, i]`.
public func sumAxis(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, outer: Int, length: Int,
  inner: Int, scale: Double
) {
  let slab = max(inner, 1)
  // Several sums keep the threads at work by themselves.
  let rows = max(sumDepth, (outer < 8 ? 1 : 2) * chunkElements / slab)
  let chunks = max(1, (length + rows - 1) / rows)
  let cost = max(1, min(rows, length) * inner)
  let width = outer * inner
  if width == 0 { return }
  let kernels = SumKernels.usable
  if inner == 1 && chunks == 1 {
    parallelFor(outer, grain: max(1, elementGrain / cost)) { range in
      for o in range { out[o] = Float(kernels.row(x + o * length, length) * scale) }
    }
    return
  }
  if chunks == 1 {
    parallelFor(outer, grain: max(1, elementGrain / cost)) { range in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: inner) { sums in
        for o in range {
          sums.update(repeating: 0)
          kernels.columns(x + o * length * inner, length, inner, sums.baseAddress!)
          for i in 0..<inner { out[o * inner + i] = Float(sums[i] * scale) }
        }
      }
    }
    return
  }
  withUnsafeTemporaryAllocation(of: Double.self, capacity: width * chunks) { partial in
    // partial is [outer, chunks, inner].
    parallelFor(outer * chunks, grain: max(1, elementGrain / cost)) { range in
      for unit in range {
        let start = unit % chunks * rows
        let count = min(rows, length - start)
        let source = x + (unit / chunks * length + start) * inner
        let target = partial.baseAddress! + unit * inner
        if inner == 1 {
          target[0] = kernels.row(source, count)
        } else {
          target.update(repeating: 0, count: inner)
          kernels.columns(source, count, inner, target)
        }
      }
    }
    parallelFor(width, grain: max(1, elementGrain / chunks)) { range in
      for index in range {
        let first = index / inner * chunks * inner + index % inner
        var total = 0.0
        for chunk in 0..<chunks { total += partial[first + chunk * inner] }
        out[index] = Float(total * scale)
      }
    }
  }
}

/// The sum of `body` over fixed chunks of `0..<count`, in order.
@inline(__always)
func chunkedSum(_ count: Int, grain: Int, _ body: (Range<Int>) -> Double) -> Double {
  let chunks = (count + grain - 1) / grain
  return withUnsafeTemporaryAllocation(of: Double.self, capacity: max(chunks, 1)) { partial in
    parallelFor(count, grain: grain) { range in
      partial[range.lowerBound / grain] = body(range)
    }
    var total = 0.0
    for chunk in 0..<chunks { total += partial[chunk] }
    return total
  }
}

/// `out[i] = sum over p of parts[p, i]`, in order.
public func sumParts(
  _ parts: UnsafePointer<Float>, count: Int, size: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(size, grain: max(1, elementGrain / max(count, 1))) { range in
    var i = range.lowerBound
    while i + 16 <= range.upperBound {
      var sum = SIMD16<Float>.zero
      for part in 0..<count { sum += load16(parts + part * size + i) }
      UnsafeMutableRawPointer(out + i).storeBytes(of: sum, as: SIMD16<Float>.self)
      i += 16
    }
    while i < range.upperBound {
      var sum: Float = 0
      for part in 0..<count { sum += parts[part * size + i] }
      out[i] = sum
      i += 1
    }
  }
}
