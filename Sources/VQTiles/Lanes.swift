import CPlatform

// The vector of this instruction set, points along its lanes, and the vector of a tile's codes.
#if VQ_AVX512
  typealias Lanes = SIMD16<Float>
  typealias IntLanes = SIMD16<Int32>
  typealias CodeLanes = SIMD16<Float>
#elseif VQ_AVX2
  typealias Lanes = SIMD8<Float>
  typealias IntLanes = SIMD8<Int32>
  typealias CodeLanes = SIMD8<Float>
#else
  typealias Lanes = SIMD4<Float>
  typealias IntLanes = SIMD4<Int32>
  typealias CodeLanes = SIMD8<Float>
#endif

@inline(__always)
func larger(_ a: Lanes, _ b: Lanes) -> Lanes {
  #if VQ_AVX512
    vq_larger16(a, b)
  #elseif VQ_AVX2
    vq_larger8(a, b)
  #else
    vq_larger4(a, b)
  #endif
}

@inline(__always)
func root(_ a: Lanes) -> Lanes {
  #if VQ_AVX512
    vq_root16(a)
  #elseif VQ_AVX2
    vq_root8(a)
  #else
    vq_root4(a)
  #endif
}

/// `yes` in lanes where `a < b`, else `no`.
@inline(__always)
func choose(_ yes: Lanes, whereLess a: Lanes, _ b: Lanes, else no: Lanes) -> Lanes {
  #if VQ_AVX512
    vq_where_less16(a, b, yes, no)
  #elseif VQ_AVX2
    vq_where_less8(a, b, yes, no)
  #else
    vq_where_less4(a, b, yes, no)
  #endif
}

/// `yes` in lanes where `a >= b`, else `no`.
@inline(__always)
func choose(
  _ yes: IntLanes, whereReached a: Lanes, _ b: Lanes, else no: IntLanes
) -> IntLanes {
  #if VQ_AVX512
    vq_where_reached16(a, b, yes, no)
  #elseif VQ_AVX2
    vq_where_reached8(a, b, yes, no)
  #else
    vq_where_reached4(a, b, yes, no)
  #endif
}

@inline(__always)
func largestLane(_ lanes: Lanes) -> Float {
  #if VQ_AVX512
    vq_largest_lane16(lanes)
  #elseif VQ_AVX2
    vq_largest_lane8(lanes)
  #else
    vq_largest_lane4(lanes)
  #endif
}

/// The sum of the lanes.
@inline(__always)
func total(_ lanes: Lanes) -> Float {
  #if VQ_AVX512
    (lanes.lowHalf + lanes.highHalf).sum()
  #else
    lanes.sum()
  #endif
}

/// The least lane; `SIMD.min` is a function that targets would share.
@inline(__always)
func leastLane<Vector: SIMD>(_ lanes: Vector) -> Vector.Scalar where Vector.Scalar: FloatingPoint {
  var least = lanes[0]
  for i in 1..<Vector.scalarCount where lanes[i] < least { least = lanes[i] }
  return least
}

// Without generics: a build that compiles file by file cannot specialize what stands in another.
extension Lanes {
  /// `self + a * b`, rounded once where the instruction set multiplies and adds in one.
  @inline(__always)
  mutating func add(_ a: Lanes, times b: Lanes) {
    #if VQ_AVX512 || VQ_AVX2
      self.addProduct(a, b)
    #else
      self += a * b
    #endif
  }
}

#if !VQ_AVX512 && !VQ_AVX2
  extension CodeLanes {
    /// `self + a * b`.
    @inline(__always)
    mutating func add(_ a: CodeLanes, times b: CodeLanes) { self += a * b }
  }
#endif

extension UnsafePointer {
  /// A vector from any address of the element type.
  @inline(__always)
  func vector<Vector>(_ type: Vector.Type) -> Vector {
    UnsafeRawPointer(self).loadUnaligned(as: type)
  }
}

extension UnsafeMutablePointer {
  @inline(__always)
  func store<Vector>(_ vector: Vector) {
    UnsafeMutableRawPointer(self).storeBytes(of: vector, as: Vector.self)
  }
}

// The same for the vector that is moved most.
extension UnsafePointer<Float> {
  @inline(__always)
  func vector(_ type: Lanes.Type) -> Lanes { UnsafeRawPointer(self).loadUnaligned(as: type) }
}

extension UnsafeMutablePointer<Float> {
  @inline(__always)
  func store(_ vector: Lanes) {
    UnsafeMutableRawPointer(self).storeBytes(of: vector, as: Lanes.self)
  }
}
