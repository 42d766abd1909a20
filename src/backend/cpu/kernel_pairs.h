/* kernel_pairs.h - c += a b with AVX-512's dot products of bf16 pairs, for files compiled with
 * them: kernel_outer.h's way of multiplying, two numbers of the sum at a time.
 *
 * A pair holds numbers k and k + 1 of the direction that is summed: of two rows of b, side by side
 * for every column, and of one row of a, for all columns. Each result adds its pairs in order,
 * DEPTH numbers at a time, hence a row has the same bits alone, in a batch, and on any thread. The
 * instruction takes subnormal numbers for zero. */
#ifndef C2C_BACKEND_CPU_KERNEL_PAIRS_H
#define C2C_BACKEND_CPU_KERNEL_PAIRS_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_transpose.h"
#include "backend/cpu/vector.h"

#define TILE_ROWS    6 /* 24 sums + 4 of b + 1 of a in 32 registers */
#define TILE_VECTORS 4
#define WIDTH        (TILE_VECTORS * LANES)

/* Numbers that are summed before a result gets them. A panel of DEPTH x WIDTH pairs' halves, 32 KB,
 * stays in the first-level cache; a part's panels in the second-level one. */
#define DEPTH  256
#define PAIRS  (DEPTH / 2)
#define PANELS (BACKWARD_PART_COLUMNS / WIDTH)

typedef struct panels {
    _Alignas(64) uint32_t at[PANELS][PAIRS][WIDTH];
    int64_t pairs, width;
} panels;

/* Pairs of the other side: of row r, pair k stands at at[r * row + k * step]. */
typedef struct left_pairs {
    const uint32_t *at;
    int64_t row, step;
} left_pairs;

/* first in the low half, second in the high half, both rounded. */
KERNEL_INLINE vec_bits pair_up(vec first, vec second, bool rounded) {
    if (!rounded) {
        first = vec_round_bf16(first);
        second = vec_round_bf16(second);
    }
    return (vec_bits)first >> 16 | (vec_bits)second;
}

/* ---- Moving ------------------------------------------------------------------------------- */

/* Words of two halves side by side: 0 with 16, 1 with 17, ... */
KERNEL_INLINE __m512i interleave(__m512i halves) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, halves);
}

/* ---- Products ----------------------------------------------------------------------------- */

/* Vectors `first` .. of a panel; the last may be cut by `left` columns. */
KERNEL_INLINE void tile(vec_way put, int rows, int vectors, left_pairs a,
                        const uint32_t (*b)[WIDTH], int64_t pairs, float *c, int64_t stride,
                        int64_t left) {
    vec sum[TILE_ROWS][TILE_VECTORS] = {{{0}}};
    for (int64_t k = 0; k < pairs; k++) {
        __m512bh v[TILE_VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) v[j] =
            (__m512bh)_mm512_loadu_si512(b[k] + j * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a.at[r * a.row + k * a.step]);
            UNROLL for (int j = 0; j < vectors; j++) sum[r][j] =
                _mm512_dpbf16_ps(sum[r][j], v[j], x);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < vectors; j++) {
        vec_put(put, c + r * stride + j * LANES, sum[r][j], vectors == 1 ? left : LANES);
    }
}

/* A few rows of c by one panel of `width` columns. */
KERNEL_INLINE void strip(vec_way put, int rows, left_pairs a, const uint32_t (*b)[WIDTH],
                         int64_t pairs, int64_t width, float *c, int64_t stride) {
    if (width >= WIDTH) {
        tile(put, rows, TILE_VECTORS, a, b, pairs, c, stride, width);
        return;
    }
    if (put == VEC_PAST)
        put = VEC_OVER;
    int64_t j = 0;
    for (; j + 2 * LANES <= width; j += 2 * LANES)
        tile(put, rows, 2, a, (const uint32_t(*)[WIDTH])(b[0] + j), pairs, c + j, stride,
             width - j);
    for (; j < width; j += LANES)
        tile(put, rows, 1, a, (const uint32_t(*)[WIDTH])(b[0] + j), pairs, c + j, stride,
             width - j);
}

/* The same for any number of rows up to TILE_ROWS. */
KERNEL_INLINE void strip_rows(vec_way put, int64_t rows, left_pairs a, const uint32_t (*b)[WIDTH],
                              int64_t pairs, int64_t width, float *c, int64_t stride) {
    switch (rows) {
    case TILE_ROWS: strip(put, TILE_ROWS, a, b, pairs, width, c, stride); break;
    case 5: strip(put, 5, a, b, pairs, width, c, stride); break;
    case 4: strip(put, 4, a, b, pairs, width, c, stride); break;
    case 3: strip(put, 3, a, b, pairs, width, c, stride); break;
    case 2: strip(put, 2, a, b, pairs, width, c, stride); break;
    default: strip(put, 1, a, b, pairs, width, c, stride); break;
    }
}

#endif
