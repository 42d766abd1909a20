/* vector.h - LANES floats at once, in the words the kernels need, for whichever instruction set the
 * including file is compiled for. That file defines LANES (16: AVX-512, 8: AVX2 with FMA and F16C,
 * 4: plain C). Compilers lower the arithmetic on GCC vectors; intrinsics stand only where the
 * language has no word: fused multiply-add, minimum, half floats, masked ends.
 *
 * Every function treats every lane alike, so a number's bits never depend on its lane. */
#ifndef C2C_BACKEND_CPU_VECTOR_H
#define C2C_BACKEND_CPU_VECTOR_H

#include "base/base.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define KERNEL_INLINE static inline __attribute__((always_inline, unused))

/* Loops over a tile must vanish, so that its sums stay in registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef uint32_t vec_bits __attribute__((vector_size(LANES * 4)));
typedef int32_t vec_ints __attribute__((vector_size(LANES * 4)));
typedef uint16_t vec_halves __attribute__((vector_size(LANES * 2)));
typedef float quad __attribute__((vector_size(16)));

/* ---- Moving ------------------------------------------------------------------------------- */

KERNEL_INLINE vec vec_set(float x) {
    return x - (vec){0};
}

KERNEL_INLINE vec vec_load(const void *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

KERNEL_INLINE void vec_store(void *p, vec v) {
    memcpy(p, &v, sizeof v);
}

/* The first n < LANES elements; the others are zero. */
KERNEL_INLINE vec vec_load_part(const void *p, int64_t n) {
#if LANES == 16
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    float t[LANES] = {0};
    memcpy(t, p, (size_t)n * sizeof *t);
    return vec_load(t);
#endif
}

/* x in the first n < LANES lanes; the others are zero. */
KERNEL_INLINE vec vec_set_part(float x, int64_t n) {
    float t[LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        t[i] = x;
    return vec_load(t);
}

KERNEL_INLINE void vec_store_part(void *p, vec v, int64_t n) {
#if LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#else
    float t[LANES];
    vec_store(t, v);
    memcpy(p, t, (size_t)n * sizeof *t);
#endif
}

/* min(n, LANES) elements: the step of every loop over features. */
KERNEL_INLINE vec vec_load_some(const void *p, int64_t n) {
    return n >= LANES ? vec_load(p) : vec_load_part(p, n);
}

KERNEL_INLINE void vec_store_some(void *p, vec v, int64_t n) {
    if (n >= LANES)
        vec_store(p, v);
    else
        vec_store_part(p, v, n);
}

/* What becomes of results: added to what is there, or written over it, either through the caches or
 * past them, for what is too large for them. */
typedef enum vec_way { VEC_ADD = 0, VEC_OVER, VEC_PAST } vec_way;

/* The first n elements; past the caches only full vectors at aligned places. */
KERNEL_INLINE void vec_put(vec_way way, float *p, vec v, int64_t n) {
#if LANES == 16
    if (way == VEC_PAST && n >= LANES && (uintptr_t)p % sizeof v == 0) {
        _mm512_stream_ps(p, v);
        return;
    }
#elif LANES == 8
    if (way == VEC_PAST && n >= LANES && (uintptr_t)p % sizeof v == 0) {
        _mm256_stream_ps(p, v);
        return;
    }
#endif
    vec_store_some(p, way == VEC_ADD ? vec_load_some(p, n) + v : v, n);
}

/* Before another thread reads what was written past the caches. */
KERNEL_INLINE void vec_settle(void) {
#if LANES > 4
    _mm_sfence();
#endif
}

/* ---- Arithmetic --------------------------------------------------------------------------- */

KERNEL_INLINE vec vec_select(vec_ints mask, vec yes, vec no) {
    return (vec)((mask & (vec_ints)yes) | (~mask & (vec_ints)no));
}

/* a * b + c: one rounding where the machine has it, two where not, but always the same. */
KERNEL_INLINE vec vec_fma(vec a, vec b, vec c) {
#if LANES == 16
    return _mm512_fmadd_ps(a, b, c);
#elif LANES == 8
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

/* a > b ? a : b, so b where one of them is NaN; likewise the smaller one. */
KERNEL_INLINE vec vec_max(vec a, vec b) {
#if LANES == 16
    return _mm512_max_ps(a, b);
#elif LANES == 8
    return _mm256_max_ps(a, b);
#else
    return vec_select(a > b, a, b);
#endif
}

KERNEL_INLINE vec vec_min(vec a, vec b) {
#if LANES == 16
    return _mm512_min_ps(a, b);
#elif LANES == 8
    return _mm256_min_ps(a, b);
#else
    return vec_select(a < b, a, b);
#endif
}

/* Four sums that stand for all lanes; then their sum. Always these pairs in this order. */
KERNEL_INLINE quad vec_fold(vec v) {
#if LANES == 16
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#elif LANES == 8
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
#else
    return v;
#endif
}

KERNEL_INLINE float quad_sum(quad q) {
    return (q[0] + q[2]) + (q[1] + q[3]);
}

KERNEL_INLINE float vec_sum(vec v) {
    return quad_sum(vec_fold(v));
}

/* The four vec_sum at once. */
KERNEL_INLINE quad vec_sum4(vec a, vec b, vec c, vec d) {
    quad p = vec_fold(a), q = vec_fold(b), r = vec_fold(c), s = vec_fold(d);
#ifdef __x86_64__
    __m128 t0 = _mm_unpacklo_ps(p, q), t1 = _mm_unpackhi_ps(p, q);
    __m128 t2 = _mm_unpacklo_ps(r, s), t3 = _mm_unpackhi_ps(r, s);
    /* columns 0 + 2 and 1 + 3 of the four rows */
    quad even = _mm_movelh_ps(t0, t2) + _mm_movelh_ps(t1, t3);
    quad odd = _mm_movehl_ps(t2, t0) + _mm_movehl_ps(t3, t1);
    return even + odd;
#else
    return (quad){quad_sum(p), quad_sum(q), quad_sum(r), quad_sum(s)};
#endif
}

KERNEL_INLINE float vec_largest(vec v) {
    float best = v[0];
    for (int i = 1; i < LANES; i++)
        best = v[i] > best ? v[i] : best;
    return best;
}

/* ---- Number formats ----------------------------------------------------------------------- */

/* Round to nearest even bf16, kept as f32; a NaN stays a NaN (bf16_from_f32 says the same). */
KERNEL_INLINE vec vec_round_bf16(vec v) {
    vec_bits u = (vec_bits)v;
    vec_bits rounded = u + 0x7fffu + ((u >> 16) & 1u);
    vec_ints nan = v != v;
    rounded = ((vec_bits)nan & (u | 0x400000u)) | (~(vec_bits)nan & rounded);
    return (vec)(rounded & 0xffff0000u);
}

/* The first min(n, LANES) elements as bf16, rounded as above. */
KERNEL_INLINE void vec_store_bf16(void *p, vec v, int64_t n) {
    vec_bits high = (vec_bits)vec_round_bf16(v) >> 16;
#if LANES == 16
    __m256i halves = _mm512_cvtepi32_epi16((__m512i)high);
#else
    vec_halves halves = __builtin_convertvector(high, vec_halves);
#endif
    if (n >= LANES)
        memcpy(p, &halves, sizeof halves);
    else
        memcpy(p, &halves, (size_t)n * sizeof(uint16_t));
}

/* gcc 12 widens a whole vector in many steps where the machine has one. */
KERNEL_INLINE vec_bits vec_widen(const void *p) {
#if LANES == 16
    return (vec_bits)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
#elif LANES == 8
    return (vec_bits)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
#else
    vec_halves h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, vec_bits);
#endif
}

KERNEL_INLINE vec vec_from_bf16(const void *p) {
    return (vec)(vec_widen(p) << 16);
}

KERNEL_INLINE vec vec_from_f16(const void *p) {
#if LANES == 16
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif LANES == 8
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    vec_bits u = vec_widen(p);
    /* The fraction and exponent moved to their places in f32 are 2^112 too small, subnormals
     * included; an exponent of all ones becomes f32's. */
    vec_bits magnitude = (u & 0x7fffu) << 13;
    vec_bits scaled = (vec_bits)((vec)magnitude * 0x1p112f);
    vec_bits special = (vec_bits)((u & 0x7c00u) == 0x7c00u) & 0x7f800000u;
    return (vec)(scaled | special | (u & 0x8000u) << 16);
#endif
}

/* Four numbers that stand side by side in a register, the first in its lowest bits. */
KERNEL_INLINE quad quad_from_bf16(uint64_t halves) {
#if LANES > 4
    __m128i wide = _mm_cvtepu16_epi32(_mm_cvtsi64_si128((long long)halves));
    return (quad)_mm_slli_epi32(wide, 16);
#else
    return vec_from_bf16(&halves);
#endif
}

KERNEL_INLINE quad quad_from_f16(uint64_t halves) {
#if LANES > 4
    return _mm_cvtph_ps(_mm_cvtsi64_si128((long long)halves));
#else
    return vec_from_f16(&halves);
#endif
}

KERNEL_INLINE vec vec_from_i8(const void *p) {
#if LANES == 16
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
#elif LANES == 8
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
#else
    int8_t bytes[LANES];
    memcpy(bytes, p, sizeof bytes);
    return (vec){bytes[0], bytes[1], bytes[2], bytes[3]};
#endif
}

/* Elements i .. i+min(n, LANES)-1 of 8-bit integers, the others zero. */
KERNEL_INLINE vec vec_load_i8(const char *base, int64_t i, int64_t n) {
    int8_t part[LANES] = {0};
    if (n >= LANES)
        return vec_from_i8(base + i);
    memcpy(part, base + i, (size_t)n);
    return vec_from_i8(part);
}

/* The first n < LANES elements of a weight type. Rare, so it is not inlined everywhere. */
static __attribute__((noinline, unused)) vec vec_load_weight_part(dtype type, const char *p,
                                                                  int64_t n) {
    uint16_t part[LANES] = {0};
    if (type == DTYPE_F32)
        return vec_load_part(p, n);
    memcpy(part, p, (size_t)n * sizeof *part);
    return type == DTYPE_BF16 ? vec_from_bf16(part) : vec_from_f16(part);
}

/* Elements i .. i+min(n, LANES)-1 of a weight type, the others zero. */
KERNEL_INLINE vec vec_load_weight(dtype type, const char *base, int64_t i, int64_t n) {
    const char *p = base + i * (type == DTYPE_F32 ? 4 : 2);
    if (n < LANES)
        return vec_load_weight_part(type, p, n);
    if (type == DTYPE_F32)
        return vec_load(p);
    return type == DTYPE_BF16 ? vec_from_bf16(p) : vec_from_f16(p);
}

/* Element i of a weight type. */
KERNEL_INLINE float weight_at(dtype type, const char *base, int64_t i) {
    uint16_t half;
    float whole;
    if (type == DTYPE_F32) {
        memcpy(&whole, base + i * 4, sizeof whole);
        return whole;
    }
    memcpy(&half, base + i * 2, sizeof half);
    return (type == DTYPE_BF16 ? quad_from_bf16(half) : quad_from_f16(half))[0];
}

/* ---- Functions ---------------------------------------------------------------------------- */

/* e^x, about 1 ulp, subnormal results included: x = n ln 2 + r with |r| <= ln 2 / 2, and the series
 * of e^r up to r^7 / 7!, whose rest is below 1e-8. NaN gives NaN. */
KERNEL_INLINE vec vec_exp(vec x) {
    const float magic = 0x1.8p23f; /* adding it rounds to an integer, found in the low bits */
    /* Beyond these the result is 0 or infinite all the same, and n stays in range. */
    x = vec_min(vec_set(89.0f), vec_max(vec_set(-105.0f), x));
    vec shifted = vec_fma(x, vec_set(0x1.715476p0f), vec_set(magic));
    vec n = shifted - magic;
    /* ln 2 in two parts, the first with so few bits that n times it is exact */
    vec r = vec_fma(n, vec_set(-0x1.63p-1f), x);
    r = vec_fma(n, vec_set(0x1.bd0106p-13f), r);
    vec p = vec_set(1.0f / 5040);
    p = vec_fma(p, r, vec_set(1.0f / 720));
    p = vec_fma(p, r, vec_set(1.0f / 120));
    p = vec_fma(p, r, vec_set(1.0f / 24));
    p = vec_fma(p, r, vec_set(1.0f / 6));
    p = vec_fma(p, r, vec_set(0.5f));
    p = vec_fma(p, r, vec_set(1.0f));
    p = vec_fma(p, r, vec_set(1.0f));
#if LANES == 16
    return _mm512_scalef_ps(p, n); /* p 2^n, rounded once, as below */
#else
    /* 2^n in two factors: it may be subnormal, or above the largest power of two */
    vec_ints k = (vec_ints)shifted - (vec_ints)vec_set(magic);
    vec_ints half = k >> 1;
    vec a = (vec)((vec_bits)(half + 127) << 23), b = (vec)((vec_bits)(k - half + 127) << 23);
    return p * a * b;
#endif
}

/* log(x) of a positive normal number, about 1 ulp: x = 2^e m with m between sqrt(1/2) and sqrt(2),
 * and log m = 2 artanh(s) with s = (m - 1) / (m + 1), whose series is cut after s^9. */
KERNEL_INLINE vec vec_log(vec x) {
    vec_ints e = ((vec_ints)x - 0x3f3504f3) >> 23;
    vec f = (vec)((vec_ints)x - (e << 23)) - 1.0f, n = __builtin_convertvector(e, vec);
    vec s = f / (f + 2.0f), z = s * s;
    vec p = vec_set(2.0f / 9);
    p = vec_fma(p, z, vec_set(2.0f / 7));
    p = vec_fma(p, z, vec_set(2.0f / 5));
    p = vec_fma(p, z, vec_set(2.0f / 3));
    /* 2 s = f - s f: f is exact, so the large part has no rounding */
    vec small = vec_fma(n, vec_set(-0x1.bd0106p-13f), vec_fma(p * z, s, -s * f));
    return vec_fma(n, vec_set(0x1.63p-1f), small + f);
}

/* The polynomial c[0] + c[1] x + ... of `count` terms. */
KERNEL_INLINE vec vec_polynomial(const float *c, int count, vec x) {
    vec sum = vec_set(c[count - 1]);
    UNROLL for (int i = count - 2; i >= 0; i--) sum = vec_fma(sum, x, vec_set(c[i]));
    return sum;
}

/* erf(x) to about 1e-7, which is one rounding of 1. Below 1, x + x p(x^2); from there on
 * 1 - e^q(x), q being close to log erfc. Both polynomials are weighted minimax fits made for this
 * file (errors 1.2e-9 and 1.0e-9 before rounding). From 4 on the result is 1. */
KERNEL_INLINE vec vec_erf(vec x) {
    static const float p[] = {0x1.06eba8p-3f, -0x1.81273ep-2f,  0x1.ce2d2p-4f,  -0x1.b7fbb4p-6f,
                              0x1.5419f4p-8f, -0x1.a485e8p-11f, 0x1.4ae4c6p-14f};
    static const float q[] = {-0x1.72e404p-12f, -0x1.2085b2p0f,  -0x1.46c582p-1f, -0x1.a60a96p-4f,
                              0x1.654246p-6f,   -0x1.814d24p-9f, 0x1.852dc4p-13f};
    vec_ints sign = (vec_ints)x & INT32_MIN;
    vec size = vec_min(vec_set(4.0f), (vec)((vec_ints)x ^ sign));
    vec small = vec_fma(size, vec_polynomial(p, 7, size * size), size);
    vec large = 1.0f - vec_exp(vec_polynomial(q, 7, size));
    return (vec)((vec_ints)vec_select(size < 1.0f, small, large) | sign);
}

/* 1 / (1 + e^-x) */
KERNEL_INLINE vec vec_sigmoid(vec x) {
    return 1.0f / (1.0f + vec_exp(-x));
}

#endif
