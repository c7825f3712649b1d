import Testing

@testable import VQKernels
@testable import VQQuantizers

/// k-means by bounds gives the definition's codes, with the kernels of every instruction set that
/// this CPU runs.
@Suite struct BoundedSearchTests {
  /// Searches among codebooks that follow each other; the share of the groups that the last search
  /// scanned.
  private func search(
    _ x: Tensor, _ codebooks: [Tensor], _ set: InstructionSet, mostLeft: Int = 0
  ) throws -> Double? {
    let (n, d, k) = (x.shape[0], x.shape[1], codebooks[0].shape[0])
    var codes = [Int32](repeating: 0, count: n)
    let points = x.values
    return try points.withUnsafeBufferPointer { points -> Double? in
      let first = codebooks[0].values
      let made = BoundedSearch(
        points.baseAddress!, count: n, width: d, first, codes: k, instructionSet: set)
      let search = try #require(made)
      for (step, codebook) in codebooks.enumerated() {
        let rows = codebook.values
        let before = step > 0 ? codebooks[step - 1].values : nil
        let isTaken =
          before.map { search.take(rows, movedFrom: $0) } ?? search.take(rows, movedFrom: nil)
        guard isTaken, let tiles = search.tiles else { return nil }
        rows.withUnsafeBufferPointer { rows in
          codes.withUnsafeMutableBufferPointer { codes in
            var block = BoundedBlock(search, tiles, rows.baseAddress!)
            defer { block.deallocate() }
            for first in stride(from: 0, to: n, by: block.points) {
              block.find(
                first: first, count: min(block.points, n - first), codes.baseAddress! + first)
            }
          }
        }
        let expected = nearestByDefinition(x, codebook).codes
        #expect(zip(codes, expected).allSatisfy { $0 == $1 || $0 == -1 }, "step \(step)")
        #expect(codes.count { $0 == -1 } <= mostLeft, "step \(step)")
        // What has been left is ranked over the whole codebook.
        for (row, code) in expected.enumerated() { codes[row] = code }
        if step == 0 { #expect(search.share == 1) }
      }
      return search.share
    }
  }

  /// Codebooks that move less and less, one code far at each step.
  private func moving(_ codebook: Tensor, by first: Float) throws -> [Tensor] {
    var codebooks = [codebook]
    for step in 0..<6 {
      let (k, d) = (codebook.shape[0], codebook.shape[1])
      let move = try sample([k, d], seed: UInt64(100 + step), scale: first / Float(1 << step))
      var values = try (codebooks[step] + move).values
      for i in 0..<d { values[(step * 37 % k) * d + i] += first * 3 }
      codebooks.append(try Tensor(values, shape: [k, d]))
    }
    return codebooks
  }

  @Test(arguments: InstructionSetTests.usable) func centroidsThatMove(set: InstructionSet) throws {
    for (n, k, d) in [(300, 130, 8), (257, 200, 16), (600, 129, 33), (300, 700, 20)] {
      let x = try sample([n, d], seed: 1)
      let share = try search(x, try moving(try sample([k, d], seed: 2), by: 0.05), set)
      let scanned = try #require(share, "\(n) \(k) \(d)")
      #expect(0 < scanned && scanned < 0.9, "\(n) \(k) \(d)")
    }
  }

  /// Points and codes far from the origin, codes closer than float32 tells apart, equal codes.
  @Test(arguments: InstructionSetTests.usable) func closeCalls(set: InstructionSet) throws {
    for (offset, spread) in [(Float(0), Float(1)), (1000, 1), (3, 0.05), (0, 100)] {
      let half = try sample([70, 24], seed: 3, mean: offset, scale: spread)
      let codebook = try Tensor(half.values + half.values, shape: [140, 24])
      let x = try sample([200, 24], seed: 4, mean: offset, scale: spread)
      for first in [spread * 0.1, spread * 1e-6, 0] {
        let codebooks = try moving(codebook, by: first)
        #expect(try search(x, codebooks, set, mostLeft: 200) != nil, "\(offset) \(spread)")
      }
    }
  }

  /// Points that are centroids, of which each has the nearest at distance 0.
  @Test(arguments: InstructionSetTests.usable) func pointsOnCentroids(set: InstructionSet) throws {
    let codebook = try sample([150, 12], seed: 5)
    let x = try Tensor(codebook.values + codebook.values, shape: [300, 12])
    #expect(try search(x, [codebook, codebook, codebook], set) ?? 1 < 0.1)
  }

  /// Centroids whose squares leave float32, or that differ too much in length, are not searched so.
  @Test func sizesThatBoundsDoNotServe() throws {
    for scale in [Float(1e-12), 1e12, 1e25] {
      let codebook = try sample([130, 16], seed: 6, scale: scale)
      #expect(try search(try sample([20, 16], seed: 7, scale: scale), [codebook], .usable) == nil)
    }
  }

  /// Each group has whole tiles of near centroids, and each centroid has one place.
  @Test(arguments: [(1, 16), (16, 16), (17, 16), (1000, 16), (5000, 8)])
  func groups(codes k: Int, tileCodes: Int) throws {
    let centroids = try sample([k, 16], seed: 8).values
    let groups = CentroidGroups(centroids, codes: k, width: 16, tileCodes: tileCodes)
    let size = groups.tiles * tileCodes
    #expect(groups.count == (k - 1) / size + 1 && groups.count <= 17)
    defer { groups.deallocate() }
    let codes = UnsafeBufferPointer(start: groups.codes, count: groups.padded * size)
    #expect(codes.filter { $0 >= 0 }.sorted() == (0..<k).map { Int32($0) })
    for code in 0..<k { #expect(groups.codes[Int(groups.places[code])] == Int32(code)) }
  }
}
