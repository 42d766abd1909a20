/* kernel_put.h - the end of every linear kernel, compiled once per instruction set: what a block
 * needs to know of the op, and its sums with bias into y. */
#ifndef C2C_BACKEND_CPU_KERNEL_PUT_H
#define C2C_BACKEND_CPU_KERNEL_PUT_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

/* What a block needs to know of the op. */
typedef struct linear_block {
    const char *w;      /* row 0 */
    const char *b;      /* NULL: none */
    const float *scale; /* of rows of w; NULL: none */
    float *y;
    int64_t in, w_bytes, y_stride; /* w_bytes: from one row of w to the next */
    dtype b_type;
    bool accumulate;
    vec *kept; /* sums between two pieces of k */
} linear_block;

/* A piece of k. */
typedef struct k_range {
    int64_t begin, end;
} k_range;

/* n <= 4 numbers. They go through a register: a vector loaded from bytes that have just been
 * written in smaller pieces waits until these are in the cache, which costs more than the products
 * of a short row. */
KERNEL_INLINE quad bias(const linear_block *k, int64_t out, int64_t n) {
    quad b = {0};
    uint64_t halves = 0;
    if (k->b_type == DTYPE_F32) {
        memcpy(&b, k->b + out * 4, (size_t)n * 4);
        return b;
    }
    memcpy(&halves, k->b + out * 2, (size_t)n * 2);
    return k->b_type == DTYPE_BF16 ? quad_from_bf16(halves) : quad_from_f16(halves);
}

/* n <= 4 results next to each other. */
KERNEL_INLINE void put(const linear_block *k, int64_t row, int64_t out, quad sums, int64_t n) {
    float *y = k->y + row * k->y_stride + out;
    quad old = {0}, scale = {0};
    if (k->scale) {
        memcpy(&scale, k->scale + out, (size_t)n * sizeof *y);
        sums *= scale;
    }
    if (k->b)
        sums += bias(k, out, n);
    if (k->accumulate) {
        memcpy(&old, y, (size_t)n * sizeof *y);
        sums = old + sums;
    }
    memcpy(y, &sums, (size_t)n * sizeof *y);
}

KERNEL_INLINE linear_block linear_block_of(const linear_args *a, int64_t group) {
    return (linear_block){.w = a->w[group],
                          .b = a->b ? a->b[group] : NULL,
                          .scale = a->scale ? a->scale[group] : NULL,
                          .y = a->y[group],
                          .in = a->in,
                          .w_bytes = a->w_stride * (int64_t)dtype_size(a->w_type),
                          .y_stride = a->y_stride,
                          .b_type = a->b_type,
                          .accumulate = a->accumulate};
}

#endif
