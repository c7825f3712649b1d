/// `out[i] = codebook[codes[i]]` and `squaredDistances[i] = |z[i] - out[i]|^2`, in one pass.
/// `z` and `out` are [n, d], `codebook` [k, d].
///
/// - Returns: the sum of all squared distances, in Float64 by fixed chunks.
public func gatherNearest(
  _ z: UnsafePointer<Float>, _ codebook: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>,
  count n: Int, width d: Int, _ out: UnsafeMutablePointer<Float>,
  squaredDistances: UnsafeMutablePointer<Float>
) -> Double {
  let grain = rowGrain(d)
  var sums = [Double](repeating: 0, count: (n + grain - 1) / grain)
  sums.withUnsafeMutableBufferPointer { sums in
    parallelFor(n, grain: grain) { range in
      var sum = 0.0
      for row in range {
        let x = z + row * d
        let code = codebook + Int(codes[row]) * d
        let target = out + row * d
        var squares = SIMD16<Float>()
        var i = 0
        while i + 16 <= d {
          let value = loadVector(code + i)
          let difference = loadVector(x + i) - value
          storeVector(value, target + i)
          squares += difference * difference
          i += 16
        }
        var rest: Float = 0
        while i < d {
          let difference = x[i] - code[i]
          target[i] = code[i]
          rest += difference * difference
          i += 1
        }
        let square = Double(squares.sum()) + Double(rest)
        squaredDistances[row] = Float(square)
        sum += square
      }
      sums[range.lowerBound / grain] = sum
    }
  }
  return sums.reduce(0, +)
}

/// `out[i] = scale * (z[i] - codebook[codes[i]])`: the commitment gradient of the encoder.
public func differenceToCodes(
  _ z: UnsafePointer<Float>, _ codebook: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>,
  count n: Int, width d: Int, scale: Float, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(n, grain: rowGrain(d)) { range in
    for row in range {
      let x = z + row * d
      let code = codebook + Int(codes[row]) * d
      let target = out + row * d
      for i in 0..<d { target[i] = scale * (x[i] - code[i]) }
    }
  }
}

/// `out[j] = scale * sum source[i]` over the rows i of code j.
public func sumByCode(
  _ source: UnsafePointer<Float>, _ groups: CodeGroups, width d: Int, scale: Double,
  _ out: UnsafeMutablePointer<Float>
) {
  groups.forEachSum(source, width: d) { code, _, sums in
    let target = out + code * d
    for i in 0..<d { target[i] = Float(scale * sums[i]) }
  }
}

/// `out[j] = sum source[i]` over the rows i of code j, in Float64.
public func wideSumByCode(
  _ source: UnsafePointer<Float>, _ groups: CodeGroups, width d: Int,
  _ out: UnsafeMutablePointer<Double>
) {
  groups.forEachSum(source, width: d) { code, _, sums in
    (out + code * d).update(from: sums, count: d)
  }
}

/// `out[j] = scale * (counts[j] codebook[j] - sums[j])`, [k, d]: what `differenceByCode` gives
/// where rows have been summed already.
public func differenceToSums(
  _ codebook: UnsafePointer<Float>, counts: [Int32], sums: [Double], width d: Int, scale: Double,
  _ out: UnsafeMutablePointer<Float>
) {
  for (code, count) in counts.enumerated() {
    for i in code * d..<(code + 1) * d {
      out[i] = Float(scale * (Double(count) * Double(codebook[i]) - sums[i]))
    }
  }
}

/// `out[j] = scale * sum (codebook[j] - z[i])` over the rows i of code j: the commitment gradient
/// of the codebook.
public func differenceByCode(
  _ z: UnsafePointer<Float>, _ codebook: UnsafePointer<Float>, _ groups: CodeGroups, width d: Int,
  scale: Double, _ out: UnsafeMutablePointer<Float>
) {
  groups.forEachSum(z, width: d) { code, count, sums in
    let row = codebook + code * d
    let target = out + code * d
    let count = Double(count)
    for i in 0..<d { target[i] = Float(scale * (count * Double(row[i]) - sums[i])) }
  }
}

/// `out[j]` = mean of the rows of code j; rows of unused codes stay as they are.
func meanByCode<Element: SearchElement>(
  _ source: UnsafePointer<Element>, _ groups: CodeGroups, width d: Int,
  _ out: UnsafeMutablePointer<Element>
) {
  groups.forEachSum(source, width: d) { code, count, sums in
    if count == 0 { return }
    let target = out + code * d
    let factor = 1 / Double(count)
    for i in 0..<d { target[i] = Element(sums[i] * factor) }
  }
}

/// Rows of width `d` that one thread takes at a time.
@inline(__always)
func rowGrain(_ d: Int) -> Int { max(1, elementGrain / max(d, 1)) }

/// Writes sixteen elements at any address.
@inline(__always)
func storeVector(_ vector: SIMD16<Float>, _ pointer: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(pointer).storeBytes(of: vector, as: SIMD16<Float>.self)
}
