// Random words and numbers. Nothing is rounded otherwise by one instruction set than by another, so
// that a seed gives the same numbers on every CPU.

/// The words of blocks of a generator, each 32-bit word in a lane of 64 bits.
#if VQ_AVX2 || VQ_AVX512
  private typealias Words = SIMD8<UInt64>
#else
  private typealias Words = SIMD4<UInt64>
#endif

/// The words of whole vectors of blocks of Philox 4x32-10 (Salmon et al., "Parallel random numbers:
/// as easy as 1, 2, 3", 2011), in order: the key is the seed, the counter words are counter and
/// stream.
///
/// - Returns: how many of the `blocks` blocks from `counter` on it gave.
public func fillWords(
  seed: UInt64, stream: UInt64, counter: UInt64, blocks: Int, _ words: UnsafeMutablePointer<UInt32>
) -> Int {
  let width = Words.scalarCount
  let low = Words(repeating: 0xFFFF_FFFF)
  var steps = Words()
  for lane in 0..<width { steps[lane] = UInt64(lane) }
  var block = 0
  while block + width <= blocks {
    let count = Words(repeating: counter &+ UInt64(block)) &+ steps
    var (x0, x1) = (count & low, count &>> 32)
    var x2 = Words(repeating: stream & 0xFFFF_FFFF)
    var x3 = Words(repeating: stream &>> 32)
    var k0 = UInt32(truncatingIfNeeded: seed)
    var k1 = UInt32(truncatingIfNeeded: seed &>> 32)
    for _ in 0..<10 {
      let a = (x0 & low) &* Words(repeating: 0xD251_1F53)
      let b = (x2 & low) &* Words(repeating: 0xCD9E_8D57)
      x0 = (b &>> 32) ^ x1 ^ Words(repeating: UInt64(k0))
      x1 = b & low
      x2 = (a &>> 32) ^ x3 ^ Words(repeating: UInt64(k1))
      x3 = a & low
      k0 = k0 &+ 0x9E37_79B9
      k1 = k1 &+ 0xBB67_AE85
    }
    let (even, odd) = (x0 | x1 &<< 32, x2 | x3 &<< 32)
    for lane in 0..<width {
      let target = UnsafeMutableRawPointer(words + 4 * (block + lane))
      target.storeBytes(of: even[lane].littleEndian, as: UInt64.self)
      target.storeBytes(of: odd[lane].littleEndian, toByteOffset: 8, as: UInt64.self)
    }
    block += width
  }
  return block
}

/// Standard normal numbers by Box and Muller's transform of pairs of words.
public func normalPairs(
  _ words: UnsafePointer<UInt32>, _ pairs: Int, _ normals: UnsafeMutablePointer<Float>
) {
  for pair in 0..<pairs {
    // The logarithm of a uniform number in (0, 1], in steps that shrink towards 0.
    let u = (Float(Int32(bitPattern: words[2 * pair] &>> 1)) + 0.5) * 0x1p-31
    normals[2 * pair] = -2 * logarithm(u, separate)
  }
  for pair in 0..<pairs {
    let radius = normals[2 * pair].squareRoot()
    let (sine, cosine) = sineCosine(turns: words[2 * pair + 1], separate)
    normals[2 * pair] = radius * cosine
    normals[2 * pair + 1] = radius * sine
  }
}

/// `out[i] = scale (x[i] + g[i])`, g the Gumbel numbers of the words.
public func addGumbelRow(
  _ words: UnsafePointer<UInt32>, _ scale: Float, _ x: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  for i in 0..<count { out[i] = scale * (x[i] + gumbel(words[i])) }
}

/// `scores[j] = (halfNorms[j] - scores[j]) - scale g[j]`, g the Gumbel numbers of the words.
public func subtractGumbelRow(
  _ words: UnsafePointer<UInt32>, _ scale: Float, _ halfNorms: UnsafePointer<Float>,
  _ scores: UnsafeMutablePointer<Float>, count: Int
) {
  for j in 0..<count {
    scores[j] = (halfNorms[j] - scores[j]) - scale * gumbel(words[j])
  }
}

/// `-log(-log u)`, u = (word + 1/2) / 2^32, within 2^-17 at both ends.
@inline(__always)
private func gumbel(_ word: UInt32) -> Float {
  // The smaller of u and 1 - u, which float32 holds to 2^-23 of itself.
  let isUpper = word >= 0x8000_0000
  let small = (Float(Int32(bitPattern: isUpper ? ~word : word)) + 0.5) * 0x1p-32
  let near = logarithmOfOnePlus(-min(small, 0.28), separate)
  let far = logarithm(isUpper ? 1 - small : small, separate)
  return -logarithm(-(isUpper && small <= 0.28 ? near : far), separate)
}
