/// Every element of `z` [rows, width] as +1 where it is positive and -1 elsewhere; the code of each
/// row, the first element its highest bit; and `|z - output|^2`.
public func quantizeSigns(
  _ z: UnsafePointer<Float>, rows: Int, width: Int, output: UnsafeMutablePointer<Float>,
  codes: UnsafeMutablePointer<Int32>, squaredDistances: UnsafeMutablePointer<Float>
) {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  parallelFor(rows, grain: rowGrain(width)) { range in
    for row in range {
      let (source, target) = (z + row * width, output + row * width)
      var code: Int32 = 0
      var squares: Float = 0
      for l in 0..<width {
        let isPositive = source[l] > 0
        target[l] = isPositive ? 1 : -1
        code = code &<< 1 | (isPositive ? 1 : 0)
        let difference = source[l] - target[l]
        squares += difference * difference
      }
      codes[row] = code
      squaredDistances[row] = squares
    }
  }
}

/// The signs [rows, width] of codes; 0 for a code of -1.
public func signsOfCodes(
  _ codes: UnsafePointer<Int32>, rows: Int, width: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(rows, grain: rowGrain(width)) { range in
    for row in range {
      let code = codes[row]
      for l in 0..<width {
        let isSet = code &>> Int32(width - 1 - l) & 1 == 1
        out[row * width + l] = code < 0 ? 0 : (isSet ? 1 : -1)
      }
    }
  }
}
