import Testing

@testable import VQQuantizers

@Suite struct KMeansSeedingTests {
  private static let points: [Double] = [0, 1, 3, 7, 12, 13]

  /// The probability of each ordered choice of centers, by the definition of k-means++.
  private func probabilities(choosing k: Int) -> [[Int]: Double] {
    let points = Self.points
    var choices = Dictionary(
      uniqueKeysWithValues: points.indices.map { ([$0], 1 / Double(points.count)) })
    for _ in 1..<k {
      var next: [[Int]: Double] = [:]
      for (chosen, probability) in choices {
        let weights = points.map { point in
          chosen.map { (point - points[$0]) * (point - points[$0]) }.min()!
        }
        let total = weights.reduce(0, +)
        for (index, weight) in weights.enumerated() where weight > 0 {
          next[chosen + [index]] = probability * weight / total
        }
      }
      choices = next
    }
    return choices
  }

  /// The fourth center is drawn by weights that do not know the third yet, and may be refused.
  @Test func drawsByTheDistributionOfPlusPlus() throws {
    let draws = 6000
    let x = try Tensor(Self.points.map { Float($0) }, shape: [Self.points.count, 1])
    var drawn: [Set<Int>: Int] = [:]
    for seed in 0..<draws {
      let centers = try kmeans(x, k: 4, iterations: 0, seed: UInt64(seed)).centroids.values
      drawn[Set(centers.map { Self.points.firstIndex(of: Double($0))! }), default: 0] += 1
    }
    var expected: [Set<Int>: Double] = [:]
    for (choice, probability) in probabilities(choosing: 4) {
      expected[Set(choice), default: 0] += probability * Double(draws)
    }
    #expect(drawn.keys.allSatisfy { expected[$0] != nil })
    // Chi-squared with 14 degrees of freedom exceeds 36 once in a thousand times.
    let large = expected.filter { $0.value >= 5 }
    let statistic = large.reduce(0.0) { sum, entry in
      let difference = Double(drawn[entry.key] ?? 0) - entry.value
      return sum + difference * difference / entry.value
    }
    #expect(large.count <= 15 && statistic < 36, "\(statistic) of \(large.count) sets")
  }

  /// Equal points leave nothing to draw; the loop of refusals ends.
  @Test(arguments: [2, 3, 40]) func distinctPointsBoundTheCenters(k: Int) throws {
    let values = [Float](repeating: 1, count: 500) + [Float](repeating: 4, count: 500)
    let result = try kmeans(Tensor(values, shape: [1000, 1]), k: k, iterations: 0, seed: 2)
    #expect(result.centroids.shape == [k, 1])
    #expect(Set(result.centroids.values).isSuperset(of: [1, 4]))
    #expect(result.inertia == 0)
  }
}
