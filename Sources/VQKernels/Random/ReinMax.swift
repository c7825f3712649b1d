/// ReinMax's gradient of each row of logits `x` [rows, columns] for the gradient g of its one-hot
/// sample: `2 J(p1) g - 1/2 J(p0) g`, `J(p) g = p (g - p . g)`, with `p0 = softmax(x)` and p1 the
/// mean of the sample and `softmax(x / temperature)`.
public func reinMaxGradient(
  _ x: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>, _ g: UnsafePointer<Float>,
  temperature: Float, _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * columns) { scratch in
      let (p0, p1) = (scratch.baseAddress!, scratch.baseAddress! + columns)
      for row in range {
        let (logits, start) = (x + row * columns, row * columns)
        let largest = rowMaximum(logits, columns)
        exponentialShares(logits, largest, scale: 1, p0, columns)
        if temperature == 1 {
          p1.update(from: p0, count: columns)
        } else {
          exponentialShares(logits, largest, scale: 1 / temperature, p1, columns)
        }
        for j in 0..<columns { p1[j] *= 0.5 }
        p1[Int(codes[row])] += 0.5
        let (mean0, mean1) = (dot(p0, g + start, columns), dot(p1, g + start, columns))
        combine(p0, p1, g + start, mean0, mean1, out + start, columns)
      }
    }
  }
}

private func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { products in
    let products = products.baseAddress!
    for i in 0..<count { products[i] = a[i] * b[i] }
    return Float(rowSum(products, count))
  }
}

private func combine(
  _ p0: UnsafePointer<Float>, _ p1: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ mean0: Float, _ mean1: Float, _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  for j in 0..<count { out[j] = 2 * p1[j] * (g[j] - mean1) - 0.5 * p0[j] * (g[j] - mean0) }
}
