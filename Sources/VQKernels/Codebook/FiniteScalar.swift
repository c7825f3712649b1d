import Glibc

/// The levels of each dimension of a finite scalar quantizer, and the constants that follow from
/// them.
///
/// With L levels, `half = (L - 1)(1 + 1e-3) / 2`, `offset` 1/2 for even L and 0 for odd,
/// `shift = artanh(offset / half)`.
public struct ScalarLevels: Sendable {
  /// Levels that float32 numbers tell apart after rounding.
  public static let limit = 1 << 22

  let width: Int
  /// Rows that one pass takes; the constants are repeated for so many.
  let tileRows: Int
  let half: [Float]
  let offset: [Float]
  let shift: [Float]
  /// `L / 2`: the divisor of rounded values, and minus the lowest of them.
  let halfWidth: [Float]
  /// The highest rounded value.
  let highest: [Float]
  let levels: [Int32]
  /// What one level weighs in the code: the first dimension varies fastest.
  let basis: [Int32]

  /// - Parameter levels: each in `2...limit`, their product within int32.
  public init(_ levels: [Int]) {
    width = levels.count
    let rows = max(1, 512 / max(levels.count, 1))
    tileRows = rows
    func tiled(_ value: (Int) -> Double) -> [Float] {
      let row = levels.map { Float(value($0)) }
      return (0..<rows).flatMap { _ in row }
    }
    func half(_ level: Int) -> Double { Double(level - 1) * (1 + 1e-3) / 2 }
    func offset(_ level: Int) -> Double { level % 2 == 0 ? 0.5 : 0 }
    self.half = tiled(half)
    self.offset = tiled(offset)
    shift = tiled { atanh(offset($0) / half($0)) }
    halfWidth = tiled { Double($0 / 2) }
    highest = tiled { Double($0 - 1 - $0 / 2) }
    self.levels = levels.map { Int32($0) }
    var weight = 1
    basis = levels.map { level in
      defer { weight *= level }
      return Int32(weight)
    }
  }

  fileprivate func withConstants(_ body: (Constants) -> Void) {
    half.withUnsafeBufferPointer { half in
      offset.withUnsafeBufferPointer { offset in
        shift.withUnsafeBufferPointer { shift in
          halfWidth.withUnsafeBufferPointer { halfWidth in
            highest.withUnsafeBufferPointer { highest in
              body(
                Constants(
                  half: half.baseAddress!, offset: offset.baseAddress!, shift: shift.baseAddress!,
                  halfWidth: halfWidth.baseAddress!, highest: highest.baseAddress!))
            }
          }
        }
      }
    }
  }
}

private struct Constants {
  let half: UnsafePointer<Float>
  let offset: UnsafePointer<Float>
  let shift: UnsafePointer<Float>
  let halfWidth: UnsafePointer<Float>
  let highest: UnsafePointer<Float>
}

/// With `b = tanh(z + shift) half - offset` for every element of `z` [rows, width]:
/// `compared = b / (L / 2)`, `output = round(b) / (L / 2)`, halves to even; the code of each row
/// and `|compared - output|^2`.
public func quantizeLevels(
  _ z: UnsafePointer<Float>, _ levels: ScalarLevels, rows: Int,
  compared: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>,
  codes: UnsafeMutablePointer<Int32>, squaredDistances: UnsafeMutablePointer<Float>
) {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  let (width, tileRows) = (levels.width, levels.tileRows)
  levels.basis.withUnsafeBufferPointer { basis in
    levels.withConstants { constants in
      let basis = basis.baseAddress!
      parallelFor(rows, grain: tileRows * 8) { range in
        for start in stride(from: range.lowerBound, to: range.upperBound, by: tileRows) {
          let count = min(tileRows, range.upperBound - start)
          let first = start * width
          roundTile(
            z + first, constants, count * width, compared: compared + first,
            output: output + first)
          codeTile(
            compared + first, output + first, constants, basis, rows: count, width: width,
            codes + start, squaredDistances + start)
        }
      }
    }
  }
}

private func roundTile(
  _ z: UnsafePointer<Float>, _ constants: Constants, _ count: Int,
  compared: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>
) {
  let (half, offset, shift) = (constants.half, constants.offset, constants.shift)
  let (halfWidth, highest) = (constants.halfWidth, constants.highest)
  for i in 0..<count {
    let bounded = hyperbolicTangent(z[i] + shift[i]) * half[i] - offset[i]
    // Adding 1.5 * 2^23 leaves the nearest integer.
    let rounded = (bounded + 12_582_912) - 12_582_912
    // The factor 1 + 1e-3 carries a thousand levels past their ends.
    let lifted = rounded < -halfWidth[i] ? -halfWidth[i] : rounded
    let level = lifted > highest[i] ? highest[i] : lifted
    compared[i] = bounded / halfWidth[i]
    output[i] = level / halfWidth[i]
  }
}

private func codeTile(
  _ compared: UnsafePointer<Float>, _ output: UnsafePointer<Float>, _ constants: Constants,
  _ basis: UnsafePointer<Int32>, rows: Int, width: Int, _ codes: UnsafeMutablePointer<Int32>,
  _ squaredDistances: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    var code: Int32 = 0
    var squares: Float = 0
    for l in 0..<width {
      let i = row * width + l
      let halfWidth = constants.halfWidth[l]
      // A quotient of small integers times its divisor is within 1/2 of the dividend.
      let level = Int32((output[i] * halfWidth + halfWidth + 0.5))
      code &+= level &* basis[l]
      let difference = compared[i] - output[i]
      squares += difference * difference
    }
    codes[row] = code
    squaredDistances[row] = squares
  }
}

/// The gradient of `compared` of `quantizeLevels` in z: `g (1 - tanh(z + shift)^2) half / (L / 2)`.
public func quantizeLevelsGradient(
  _ z: UnsafePointer<Float>, _ g: UnsafePointer<Float>, _ levels: ScalarLevels, rows: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  let (width, tileRows) = (levels.width, levels.tileRows)
  levels.withConstants { constants in
    parallelFor(rows, grain: tileRows * 8) { range in
      for start in stride(from: range.lowerBound, to: range.upperBound, by: tileRows) {
        let first = start * width
        boundGradientTile(
          z + first, g + first, constants, min(tileRows, range.upperBound - start) * width,
          out + first)
      }
    }
  }
}

private func boundGradientTile(
  _ z: UnsafePointer<Float>, _ g: UnsafePointer<Float>, _ constants: Constants, _ count: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  let (half, shift, halfWidth) = (constants.half, constants.shift, constants.halfWidth)
  for i in 0..<count {
    let t = hyperbolicTangent(z[i] + shift[i])
    out[i] = g[i] * (1 - t * t) * half[i] / halfWidth[i]
  }
}

/// The outputs [rows, width] of codes; 0 for a code of -1.
public func levelsOfCodes(
  _ codes: UnsafePointer<Int32>, _ levels: ScalarLevels, rows: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  let width = levels.width
  levels.levels.withUnsafeBufferPointer { sizes in
    let sizes = sizes.baseAddress!
    parallelFor(rows, grain: rowGrain(width)) { range in
      for row in range {
        var rest = codes[row]
        for l in 0..<width {
          let halfWidth = Float(sizes[l] / 2)
          let level = rest % sizes[l]
          out[row * width + l] = codes[row] < 0 ? 0 : (Float(level) - halfWidth) / halfWidth
          rest /= sizes[l]
        }
      }
    }
  }
}
