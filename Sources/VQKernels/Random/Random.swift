import Glibc

/// A place in the sequence of a counter-based generator.
public struct RandomState: Sendable {
  public var seed: UInt64
  public var stream: UInt64
  public var counter: UInt64

  public init(seed: UInt64, stream: UInt64, counter: UInt64) {
    self.seed = seed
    self.stream = stream
    self.counter = counter
  }
}

/// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the four
/// words of block `counter + index`. The key is the seed; the counter words are counter and stream.
@inline(__always)
public func philox(_ state: RandomState, _ index: UInt64) -> SIMD4<UInt32> {
  let counter = state.counter &+ index
  var (x0, x1) = (UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter &>> 32))
  var x2 = UInt32(truncatingIfNeeded: state.stream)
  var x3 = UInt32(truncatingIfNeeded: state.stream &>> 32)
  var k0 = UInt32(truncatingIfNeeded: state.seed)
  var k1 = UInt32(truncatingIfNeeded: state.seed &>> 32)
  for _ in 0..<10 {
    let a = UInt64(x0) &* 0xD251_1F53
    let b = UInt64(x2) &* 0xCD9E_8D57
    x0 = UInt32(truncatingIfNeeded: b &>> 32) ^ x1 ^ k0
    x1 = UInt32(truncatingIfNeeded: b)
    x2 = UInt32(truncatingIfNeeded: a &>> 32) ^ x3 ^ k1
    x3 = UInt32(truncatingIfNeeded: a)
    k0 = k0 &+ 0x9E37_79B9
    k1 = k1 &+ 0xBB67_AE85
  }
  return SIMD4(x0, x1, x2, x3)
}

/// The words of `blocks` blocks from `first` on, in order, as `philox` gives them.
func fillWords(
  _ state: RandomState, first: Int, blocks: Int, _ words: UnsafeMutablePointer<UInt32>
) {
  let counter = state.counter &+ UInt64(first)
  let whole = RandomKernels.usable.words(state.seed, state.stream, counter, blocks, words)
  for block in whole..<max(whole, blocks) {
    let last = philox(state, UInt64(first + block))
    for lane in 0..<4 { words[4 * block + lane] = last[lane] }
  }
}

private let tileBlocks = 256

/// Calls `body(start, words, length)` for tiles of `count` elements, one word an element.
@inline(__always)
private func forEachTile(
  _ state: RandomState, _ tiles: Range<Int>, _ count: Int,
  _ body: (Int, UnsafePointer<UInt32>, Int) -> Void
) {
  withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 4 * tileBlocks) { words in
    for tile in tiles {
      let start = tile * 4 * tileBlocks
      let length = min(4 * tileBlocks, count - start)
      fillWords(
        state, first: tile * tileBlocks, blocks: (length + 3) / 4, words.baseAddress!)
      body(start, words.baseAddress!, length)
    }
  }
}

private func tileCount(_ count: Int) -> Int { (count + 4 * tileBlocks - 1) / (4 * tileBlocks) }

/// `[from, to)` in steps of `(to - from) / 2^24`; one block for four elements.
public func uniformFill(
  _ state: RandomState, _ out: UnsafeMutablePointer<Float>, count: Int, from: Float, to: Float
) {
  let width = to - from
  let last = to.nextDown
  parallelFor(tileCount(count), grain: 8) { range in
    forEachTile(state, range, count) { start, words, length in
      let target = out + start
      for i in 0..<length {
        let value = from + Float(Int32(bitPattern: words[i] &>> 8)) * 0x1p-24 * width
        target[i] = value < to ? value : last
      }
    }
  }
}

/// Normal numbers by Box and Muller's transform of word pairs; one block for four elements.
public func normalFill(
  _ state: RandomState, _ out: UnsafeMutablePointer<Float>, count: Int, mean: Float,
  standardDeviation: Float
) {
  let pairs = RandomKernels.usable.normalPairs
  parallelFor(tileCount(count), grain: 8) { range in
    forEachTile(state, range, count) { start, words, length in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * tileBlocks) { normals in
        pairs(words, (length + 1) / 2, normals.baseAddress!)
        let target = out + start
        for i in 0..<length { target[i] = mean + standardDeviation * normals[i] }
      }
    }
  }
}

/// Elements from `4 firstBlock` on of the standard normal numbers that `normalFill` gives, on this
/// thread.
func normalRun(
  _ state: RandomState, firstBlock: Int, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  let pairs = RandomKernels.usable.normalPairs
  withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 4 * tileBlocks) { words in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * tileBlocks) { normals in
      for start in stride(from: 0, to: count, by: 4 * tileBlocks) {
        let length = min(4 * tileBlocks, count - start)
        fillWords(
          state, first: firstBlock + start / 4, blocks: (length + 3) / 4, words.baseAddress!)
        pairs(words.baseAddress!, (length + 1) / 2, normals.baseAddress!)
        (out + start).update(from: normals.baseAddress!, count: length)
      }
    }
  }
}

/// `out[i] = scale (x[i] + g[i])` for standard Gumbel numbers; one block for four elements.
public func addGumbelNoise(
  _ state: RandomState, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int,
  scale: Float
) {
  let row = RandomKernels.usable.addGumbelRow
  parallelFor(tileCount(count), grain: 8) { range in
    forEachTile(state, range, count) { start, words, length in
      row(words, scale, x + start, out + start, length)
    }
  }
}

/// `floor(bound * u)` for a 128-bit uniform number u: each value's probability is within `2^-64` of
/// `1 / bound`.
@inline(__always)
public func randomIndex(_ words: SIMD4<UInt32>, below bound: UInt64) -> UInt64 {
  let low = UInt64(words[1]) &<< 32 | UInt64(words[0])
  let high = UInt64(words[3]) &<< 32 | UInt64(words[2])
  let product = high.multipliedFullWidth(by: bound)
  let carry = product.low.addingReportingOverflow(low.multipliedFullWidth(by: bound).high).overflow
  return product.high &+ (carry ? 1 : 0)
}

/// Integers in `0..<bound`, one block an element.
public func integerFill(
  _ state: RandomState, _ out: UnsafeMutablePointer<Int32>, count: Int, below bound: Int
) {
  parallelFor(count, grain: elementGrain / 4) { range in
    for i in range {
      let index = randomIndex(philox(state, UInt64(i)), below: UInt64(bound))
      out[i] = Int32(truncatingIfNeeded: index)
    }
  }
}

/// A uniformly drawn order of `0..<count` (Fisher and Yates), one block an element.
public func permutationFill(_ state: RandomState, _ out: UnsafeMutablePointer<Int32>, count: Int) {
  for i in 0..<count { out[i] = Int32(truncatingIfNeeded: i) }
  for i in stride(from: count - 1, to: 0, by: -1) {
    if i & 0xFFFF == 0, loopIsStopped() { return }
    let j = Int(randomIndex(philox(state, UInt64(i)), below: UInt64(i + 1)))
    let taken = out[j]
    out[j] = out[i]
    out[i] = taken
  }
}

/// Normal numbers confined to `minimum...maximum` (in standard deviations), by inversion; one block
/// for two elements.
public func truncatedNormalFill(
  _ state: RandomState, _ out: UnsafeMutablePointer<Float>, count: Int, mean: Float,
  standardDeviation: Float, minimum: Double, maximum: Double
) {
  func cumulative(_ x: Double) -> Double { 0.5 * erfc(-x * 0.5.squareRoot()) }
  let (low, high) = (cumulative(minimum), cumulative(maximum))
  parallelFor((count + 1) / 2, grain: elementGrain / 64) { range in
    for block in range {
      let words = philox(state, UInt64(block))
      for lane in 0..<min(2, count - 2 * block) {
        let bits = UInt64(words[2 * lane + 1]) &<< 32 | UInt64(words[2 * lane])
        let p = low + (Double(bits &>> 11) + 0.5) * 0x1p-53 * (high - low)
        // Halley's iteration on cumulative(x) = p inside a shrinking bracket.
        var (left, right) = (minimum, maximum)
        var x = max(minimum, min(maximum, Glibc.log(p / (1 - p)) / 1.702))
        for _ in 0..<60 {
          let error = cumulative(x) - p
          if error > 0 { right = x } else { left = x }
          let step = error * (2 * Double.pi).squareRoot() * Glibc.exp(0.5 * x * x)
          var next = x - step / (1 + 0.5 * x * step)
          if !(next > left && next < right) { next = 0.5 * (left + right) }
          let moved = Swift.abs(next - x)
          x = next
          if moved < 1e-9 { break }
        }
        out[2 * block + lane] = mean + standardDeviation * Float(x)
      }
    }
  }
}

/// `out = keep ? x / (1 - probability) : 0`, keeping where a word is at least `threshold`; one
/// block for four elements. The gradient is the same call.
public func dropoutApply(
  _ state: RandomState, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  count: Int, threshold: UInt64, scale: Float
) {
  parallelFor(tileCount(count), grain: 8) { range in
    forEachTile(state, range, count) { start, words, length in
      let (source, target) = (x + start, out + start)
      if threshold > UInt64(UInt32.max) {
        target.update(repeating: 0, count: length)
      } else {
        let threshold = UInt32(threshold)
        for i in 0..<length {
          let kept = source[i] * scale
          target[i] = words[i] >= threshold ? kept : 0
        }
      }
    }
  }
}
