import Testing
import VQKernels

@testable import VQQuantizers

/// The codes are the definition's with the kernels of every instruction set that this CPU runs.
@Suite struct InstructionSetTests {
  static let usable = InstructionSet.allCases.filter {
    $0.rawValue <= InstructionSet.usable.rawValue
  }

  private func codes(_ x: Tensor, _ codebook: Tensor, _ set: InstructionSet) -> [Int32] {
    let (n, k, d) = (x.shape[0], codebook.shape[0], x.shape[1])
    var codes = [Int32](repeating: -7, count: n)
    x.read { points in
      codebook.read { rows in
        let packed = PackedCodebook(rows, codes: k, width: d, instructionSet: set)
        let bad = codes.withUnsafeMutableBufferPointer {
          nearestCode(points, count: n, rows, packed, $0.baseAddress!)
        }
        #expect(bad == nil)
      }
    }
    return codes
  }

  /// Every remainder of points, codes and width.
  @Test(arguments: usable) func remainders(set: InstructionSet) throws {
    for (n, k, d) in [
      (1, 1, 1), (31, 11, 2), (32, 12, 3), (33, 13, 15), (63, 5, 16), (65, 6, 17), (7, 7, 31),
      (70, 25, 32), (9, 100, 33), (40, 70, 130),
    ] {
      let x = try sample([n, d], seed: 1)
      let codebook = try sample([k, d], seed: 2)
      #expect(codes(x, codebook, set) == nearestByDefinition(x, codebook).codes, "\(n) \(k) \(d)")
    }
  }

  /// More codes than one block of tiles holds, and equal ones in different blocks.
  @Test(arguments: usable) func severalBlocks(set: InstructionSet) throws {
    let half = try sample([13_000, 2], seed: 3).values
    let codebook = try Tensor(half + half, shape: [26_000, 2])
    let x = try sample([70, 2], seed: 4)
    #expect(codes(x, codebook, set) == nearestByDefinition(x, codebook).codes)
  }

  /// Points and codes far from the origin, points far from the codes, codes closer than bfloat16 or
  /// float32 tells apart, and rounding ties.
  @Test(arguments: usable) func closeCalls(set: InstructionSet) throws {
    let base = try sample([40, 20], seed: 5)
    for (offset, distance, spread) in [
      (Float(0), Float(0), Float(1)), (1000, 0, 1), (0, 300, 1), (1000, 1000, 1e-2), (1, 0, 1e-3),
      (0, 0, 1e-6), (3, 1, 1e-7),
    ] {
      let codebook = try base * spread + offset
      let x = try sample([100, 20], seed: 6, mean: offset + distance, scale: max(spread, 1e-3))
      #expect(
        codes(x, codebook, set) == nearestByDefinition(x, codebook).codes,
        "\(offset) \(distance) \(spread)")
    }
    var rows = base.values
    for copy in 1...5 { rows += base.values.map { $0 + Float(copy) * $0.ulp } }
    let near = try Tensor(rows + base.values, shape: [280, 20])
    let x = try sample([200, 20], seed: 7)
    #expect(codes(x, near, set) == nearestByDefinition(x, near).codes)
    #expect(codes(base, near, set) == nearestByDefinition(base, near).codes)
  }

  /// Magnitudes at which squares overflow or vanish, next to points that are harmless.
  @Test(arguments: usable) func extremeMagnitudes(set: InstructionSet) throws {
    for scale in [Float(0x1p-133), 1e-22, 1e17, 1e18, 5e37] {
      let codebook = try sample([50, 18], seed: 8, scale: scale)
      var points = try sample([64, 18], seed: 9, scale: scale).values
      for i in 0..<18 { (points[i], points[18 * 40 + i]) = (0, 1) }
      let x = try Tensor(points, shape: [64, 18])
      #expect(codes(x, codebook, set) == nearestByDefinition(x, codebook).codes, "\(scale)")
    }
  }
}
