/* kernel_outer.h - c += a b for a few rows of c, compiled once per instruction set: the product of
 * the backward ops.
 *
 * The forward's products have k next to each other in both operands; here it is so in none, and a
 * result is no dot product but a place that numbers are added to: vectors of b times single numbers
 * of a. A tile of OUTER_ROWS x OUTER_COLUMNS vectors keeps its sums in registers. Each result is
 * one chain of additions over the k of a call, then added to c: the order holds for every tile
 * shape, so a row has the same bits alone and in a batch. */
#ifndef C2C_BACKEND_CPU_KERNEL_OUTER_H
#define C2C_BACKEND_CPU_KERNEL_OUTER_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

#if LANES == 16
#define OUTER_ROWS    6 /* 24 sums + 4 of b + 1 of a in 32 registers */
#define OUTER_COLUMNS 4
#elif LANES == 8
#define OUTER_ROWS    6 /* 12 sums + 2 of b + 1 of a in 16 registers */
#define OUTER_COLUMNS 2
#else
#define OUTER_ROWS    4
#define OUTER_COLUMNS 2
#endif

/* Rows of b that are packed next to each other before use: rows that lie 4 KB apart, as they do in
 * matrices, would push each other out of the first-level cache. OUTER_DEPTH x OUTER_WIDTH floats
 * (32 KB) stay in it. The depth is also how many numbers are added up before c is. */
#define OUTER_DEPTH 128
#define OUTER_WIDTH 64

/* Number k of row m of a: at[m * row + k * step]. */
typedef struct outer_left {
    const float *at;
    int64_t row, step;
} outer_left;

/* What the rows of a are multiplied with: b[k * stride + i], k < depth, i < width. */
typedef struct outer_right {
    const float *at;
    int64_t stride, depth, width;
    vec_way way; /* into c */
} outer_right;

/* Columns i .. of c; with one column of vectors, as many numbers of it as there are. */
KERNEL_INLINE void outer_tile(int rows, int columns, const outer_left *a, const outer_right *b,
                              float *const *c, int64_t i) {
    int64_t left = columns == 1 ? b->width - i : LANES;
    vec sum[OUTER_ROWS][OUTER_COLUMNS] = {{{0}}};
    const float *x[OUTER_ROWS], *y = b->at + i;
    UNROLL for (int r = 0; r < rows; r++) x[r] = a->at + r * a->row;
    for (int64_t k = 0; k < b->depth; k++, y += b->stride) {
        vec v[OUTER_COLUMNS];
        UNROLL for (int j = 0; j < columns; j++) v[j] = vec_load_some(y + j * LANES, left);
        UNROLL for (int r = 0; r < rows; r++) {
            vec factor = vec_set(x[r][k * a->step]);
            UNROLL for (int j = 0; j < columns; j++) sum[r][j] = vec_fma(factor, v[j], sum[r][j]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < columns; j++) {
        float *at = c[r] + i + j * LANES;
        vec_put(b->way, at, sum[r][j], left);
    }
}

KERNEL_INLINE void outer_strip(int rows, const outer_left *a, const outer_right *b,
                               float *const *c) {
    int64_t i = 0;
    for (; i + OUTER_COLUMNS * LANES <= b->width; i += OUTER_COLUMNS * LANES)
        outer_tile(rows, OUTER_COLUMNS, a, b, c, i);
    for (; i < b->width; i += LANES)
        outer_tile(rows, 1, a, b, c, i);
}

/* c[r][i] += (or =) sum_k a(r, k) b(k, i) for r < rows <= OUTER_ROWS. */
static void outer_add(int64_t rows, outer_left a, const outer_right *b, float *const *c) {
    if (rows == OUTER_ROWS) {
        outer_strip(OUTER_ROWS, &a, b, c);
        return;
    }
    for (; rows >= 2; rows -= 2, c += 2, a.at += 2 * a.row)
        outer_strip(2, &a, b, c);
    if (rows)
        outer_strip(1, &a, b, c);
}

/* The same for any number of rows of c that lie `stride` apart. */
static __attribute__((unused)) void outer_add_rows(int64_t rows, outer_left a, const outer_right *b,
                                                   float *c, int64_t stride) {
    float *at[OUTER_ROWS];
    for (int64_t m = 0; m < rows; m += OUTER_ROWS) {
        int64_t some = min_i64(OUTER_ROWS, rows - m);
        for (int64_t r = 0; r < some; r++)
            at[r] = c + (m + r) * stride;
        outer_add(some, (outer_left){a.at + m * a.row, a.row, a.step}, b, at);
    }
}

#endif
