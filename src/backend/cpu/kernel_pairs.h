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

/* Vectors `first` .. of a panel; the last may be cut by `left` columns. */
KERNEL_INLINE void tile(int rows, int vectors, left_pairs a, const uint32_t (*b)[WIDTH],
                        int64_t pairs, float *c, int64_t stride, int64_t left) {
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
        float *at = c + r * stride + j * LANES;
        int64_t n = vectors == 1 ? left : LANES;
        vec_store_some(at, vec_load_some(at, n) + sum[r][j], n);
    }
}

KERNEL_INLINE void strip(int rows, left_pairs a, const panels *b, float *c, int64_t stride) {
    for (int64_t i = 0; i < b->width; i += WIDTH) {
        int64_t left = b->width - i;
        const uint32_t(*panel)[WIDTH] = b->at[i / WIDTH];
        if (left >= WIDTH) {
            tile(rows, TILE_VECTORS, a, panel, b->pairs, c + i, stride, left);
            continue;
        }
        for (int64_t j = 0; j < left; j += LANES)
            tile(rows, 1, a, (const uint32_t(*)[WIDTH])(panel[0] + j), b->pairs, c + i + j, stride,
                 left - j);
    }
}

/* c += a b for up to TILE_ROWS rows of c. */
static void multiply(int64_t rows, left_pairs a, const panels *b, float *c, int64_t stride) {
    if (rows == TILE_ROWS) {
        strip(TILE_ROWS, a, b, c, stride);
        return;
    }
    for (; rows > 0; rows--, a.at += a.row, c += stride)
        strip(1, a, b, c, stride);
}

#endif
