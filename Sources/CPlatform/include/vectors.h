/// Vector instructions that Swift's SIMD types do not reach; inlined into the importing module.
#pragma once

#define VQ_VECTOR(type, count) type __attribute__((ext_vector_type(count)))
#define VQ_INLINE              static inline __attribute__((always_inline))

typedef VQ_VECTOR(float, 4) vq_float4;
typedef VQ_VECTOR(float, 8) vq_float8;
typedef VQ_VECTOR(float, 16) vq_float16;
typedef VQ_VECTOR(double, 8) vq_double8;
typedef VQ_VECTOR(int, 4) vq_int4;
typedef VQ_VECTOR(int, 8) vq_int8;
typedef VQ_VECTOR(int, 16) vq_int16;

#define VQ_LANES(n)                                                                          \
  VQ_INLINE vq_float##n vq_larger##n(vq_float##n a, vq_float##n b) { return a > b ? a : b; } \
  VQ_INLINE float vq_largest_lane##n(vq_float##n a) { return __builtin_reduce_max(a); }      \
  VQ_INLINE vq_float##n vq_root##n(vq_float##n a) { return __builtin_elementwise_sqrt(a); }  \
  VQ_INLINE vq_float##n vq_where_less##n(                                                    \
      vq_float##n a, vq_float##n b, vq_float##n yes, vq_float##n no) {                       \
    return a < b ? yes : no;                                                                 \
  }                                                                                          \
  VQ_INLINE vq_int##n vq_where_reached##n(                                                   \
      vq_float##n a, vq_float##n b, vq_int##n yes, vq_int##n no) {                           \
    return a >= b ? yes : no;                                                                \
  }                                                                                          \
  VQ_INLINE vq_float##n vq_floats##n(vq_int##n x) {                                          \
    return __builtin_convertvector(x, vq_float##n);                                          \
  }
VQ_LANES(4)
VQ_LANES(8)
VQ_LANES(16)

/// The lane, of the first `count`, that alone is within `margin` of the largest; -1 where others
/// are too.
#define VQ_SINGLE(n)                                                                               \
  typedef _Bool vq_bool##n __attribute__((ext_vector_type(n)));                                    \
  VQ_INLINE int vq_single_largest##n(vq_float##n x, vq_float##n lane, float count, float margin) { \
    x = lane < count ? x : -__builtin_inff();                                                      \
    vq_bool##n is_near =                                                                           \
        __builtin_convertvector(x >= __builtin_reduce_max(x) - margin, vq_bool##n);                \
    unsigned bits = 0;                                                                             \
    __builtin_memcpy(&bits, &is_near, n / 8);                                                      \
    return bits != 0 && (bits & (bits - 1)) == 0 ? __builtin_ctz(bits) : -1;                       \
  }
VQ_SINGLE(8)
VQ_SINGLE(16)

/// Bit i of the result: whether lane i of `a` is at least that of `b`.
#define VQ_REACHED(n)                                                    \
  VQ_INLINE unsigned vq_reached_lanes##n(vq_float##n a, vq_float##n b) { \
    vq_bool##n is_reached = __builtin_convertvector(a >= b, vq_bool##n); \
    unsigned bits = 0;                                                   \
    __builtin_memcpy(&bits, &is_reached, (n + 7) / 8);                   \
    return bits & ((1u << n) - 1);                                       \
  }
typedef _Bool vq_bool4 __attribute__((ext_vector_type(4)));
VQ_REACHED(4)
VQ_REACHED(8)
VQ_REACHED(16)

/// Bit i of the result: whether lane i is at most `limit`.
VQ_INLINE unsigned vq_lanes_up_to(vq_double8 x, double limit) {
  vq_bool8 is_included = __builtin_convertvector(x <= limit, vq_bool8);
  unsigned char bits;
  __builtin_memcpy(&bits, &is_included, 1);
  return bits;
}

/// Finite elements rounded to bfloat16, ties to even, still as float32.
VQ_INLINE vq_float16 vq_rounded_to_bfloat16(vq_float16 x) {
  vq_int16 bits = (vq_int16)x;
  vq_int16 odd = (bits >> 16) & 1;
  return (vq_float16)((bits + 0x7FFF + odd) & (int)0xFFFF0000);
}

#ifdef __F16C__
typedef VQ_VECTOR(short, 8) vq_short8;
typedef VQ_VECTOR(unsigned short, 8) vq_ushort8;
/// The bits of IEEE binary16, rounded to the nearest, ties to even.
VQ_INLINE vq_ushort8 vq_narrowed_to_binary16(vq_float8 x) {
  return (vq_ushort8)__builtin_ia32_vcvtps2ph256(x, 0);
}
VQ_INLINE vq_float8 vq_widened_from_binary16(vq_ushort8 bits) {
  return (vq_float8)__builtin_ia32_vcvtph2ps256((vq_short8)bits);
}
#endif

#ifdef __AVX2__
typedef VQ_VECTOR(short, 16) vq_short16;
/// `sum + a[2i] b[2i] + a[2i + 1] b[2i + 1]` of int16 pairs, exact below 2^31.
VQ_INLINE vq_int8 vq_add_short_products8(vq_int8 sum, vq_int8 a, vq_int8 b) {
  return sum + (vq_int8)__builtin_ia32_pmaddwd256((vq_short16)a, (vq_short16)b);
}
#endif

#ifdef __AVX512VNNI__
VQ_INLINE vq_int16 vq_add_short_products16(vq_int16 sum, vq_int16 a, vq_int16 b) {
  return __builtin_ia32_vpdpwssd512(sum, a, b);
}
#endif

#ifdef __AVX512BF16__
typedef __bf16 vq_bf16_32 __attribute__((__vector_size__(64)));
/// `sum + a[2i] b[2i] + a[2i + 1] b[2i + 1]` of bfloat16 pairs, accumulated in float32.
VQ_INLINE vq_float16 vq_add_pair_products(vq_float16 sum, vq_int16 a, vq_int16 b) {
  return __builtin_ia32_dpbf16ps_512(sum, (vq_bf16_32)a, (vq_bf16_32)b);
}
#endif

/// Begins to load the cache line of `address`.
VQ_INLINE void vq_prefetch(const void *address) { __builtin_prefetch(address); }
