/* kernel_linear.h - y = x w^T + b for one block, compiled once per instruction set.
 *
 * Both operands lie with k next to each other, so a result is a dot product: LANES partial sums
 * over k in steps of LANES, folded at the end. This order holds for every tile shape, hence a row
 * has the same bits alone, in a batch, and on any thread. A tile of TILE_ROWS x TILE_OUTS results
 * keeps its sums in registers and uses each loaded vector several times. Weights are widened in
 * registers. */
#ifndef C2C_BACKEND_CPU_KERNEL_LINEAR_H
#define C2C_BACKEND_CPU_KERNEL_LINEAR_H

#include "backend/cpu/kernel_put.h"
#include "backend/cpu/kernel_quantize.h"

#if LANES == 16
#define TILE_ROWS 6 /* 24 sums + 4 weights + 1 activation of 32 registers */
#elif LANES == 8
#define TILE_ROWS 3 /* 12 sums + 1 weight + 3 activations of 16 registers */
#else
#define TILE_ROWS 2
#endif
#define TILE_OUTS 4

/* Rows of x are longer than the first-level cache should hold beside the weights that stream
 * through it: k is cut into pieces of which TILE_ROWS rows (24 KB) stay, and the partial sums of a
 * block's tiles are kept in between. Not for one or two rows, whose weights pass only once. */
#define K_BLOCK 1024

/* How a block reads its weights: the compiler makes one tile for each. */
typedef enum weight_read {
    READ_F32,
    READ_F16,
    READ_BF16,
    READ_F32_ROUND,
    READ_F16_ROUND,
    READ_I8
} weight_read;

KERNEL_INLINE vec read_weight(weight_read read, const char *row, int64_t i, int64_t n) {
    switch (read) {
    case READ_F32: return vec_load_weight(DTYPE_F32, row, i, n);
    case READ_F16: return vec_load_weight(DTYPE_F16, row, i, n);
    case READ_BF16: return vec_load_weight(DTYPE_BF16, row, i, n);
    case READ_F32_ROUND: return vec_round_bf16(vec_load_weight(DTYPE_F32, row, i, n));
    case READ_I8: return vec_load_i8(row, i, n);
    case READ_F16_ROUND: return vec_round_bf16(vec_load_weight(DTYPE_F16, row, i, n));
    }
    return (vec){0};
}

/* Rows x[0], x[1], ... of which the first is row `row` of the result, by rows out .. out+outs-1 of
 * w over a piece of k; outs is TILE_OUTS or 1. */
KERNEL_INLINE void tile(weight_read read, int rows, int outs, const linear_block *k,
                        const float *const *x, int64_t row, int64_t out, k_range range, vec *kept) {
    const int64_t width = read == READ_F32 || read == READ_F32_ROUND ? 4 : read == READ_I8 ? 1 : 2;
    vec sum[TILE_ROWS][TILE_OUTS];
    const char *w[TILE_OUTS];
    UNROLL for (int o = 0; o < outs; o++) {
        w[o] = k->w + (out + o) * k->w_bytes;
        UNROLL for (int r = 0; r < rows; r++) sum[r][o] =
            range.begin ? kept[o * TILE_ROWS + r] : (vec){0};
    }
    int64_t i = range.begin;
    for (; i + LANES <= range.end; i += LANES) {
        vec value[TILE_ROWS];
        UNROLL for (int r = 0; r < rows; r++) value[r] = vec_load(x[r] + i);
        UNROLL for (int o = 0; o < outs; o++) {
            /* The next tile's rows lie elsewhere, where the machine does not expect them. For f32
             * and many rows the requests cost more than they save. */
            if (width <= 2 || rows <= 4)
                __builtin_prefetch(w[o] + TILE_OUTS * k->w_bytes + i * width);
            vec weight = read_weight(read, w[o], i, LANES);
            UNROLL for (int r = 0; r < rows; r++) sum[r][o] = vec_fma(value[r], weight, sum[r][o]);
        }
    }
    if (i < range.end)
        UNROLL for (int r = 0; r < rows; r++) {
            vec value = vec_load_part(x[r] + i, range.end - i);
            UNROLL for (int o = 0; o < outs; o++) {
                vec weight = read_weight(read, w[o], i, range.end - i);
                sum[r][o] = vec_fma(value, weight, sum[r][o]);
            }
        }
    if (range.end < k->in) {
        UNROLL for (int o = 0; o < outs; o++) UNROLL for (int r = 0; r < rows; r++)
            kept[o * TILE_ROWS + r] = sum[r][o];
        return;
    }
    UNROLL for (int r = 0; r < rows; r++) {
        if (outs == 4)
            put(k, row + r, out, vec_sum4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]), 4);
        else
            put(k, row + r, out, (quad){vec_sum(sum[r][0])}, 1);
    }
}

/* A few rows of x by the block's rows of w. */
KERNEL_INLINE void strip(weight_read read, int rows, const linear_block *k, const float *const *x,
                         int64_t row, const linear_part *part) {
    int64_t step = rows <= 2 ? k->in : K_BLOCK;
    k_range range = {0, 0};
    do {
        range = (k_range){range.end, min_i64(range.end + step, k->in)};
        vec *kept = k->kept;
        int64_t out = part->out_begin;
        for (; out + TILE_OUTS <= part->out_end; out += TILE_OUTS, kept += TILE_OUTS * TILE_ROWS)
            tile(read, rows, TILE_OUTS, k, x, row, out, range, kept);
        for (; out < part->out_end; out++, kept += TILE_ROWS)
            tile(read, rows, 1, k, x, row, out, range, kept);
    } while (range.end < k->in);
}

KERNEL_INLINE void strips(weight_read read, int rows, const linear_block *k, const float *const *x,
                          int64_t row, const linear_part *part) {
    switch (rows) {
#if TILE_ROWS >= 6
    case 6: strip(read, 6, k, x, row, part); break;
    case 5:
        strip(read, 4, k, x, row, part);
        strip(read, 1, k, x + 4, row + 4, part);
        break;
    case 4: strip(read, 4, k, x, row, part); break;
#endif
#if TILE_ROWS >= 3
    case 3: strip(read, 3, k, x, row, part); break;
#endif
    case 2: strip(read, 2, k, x, row, part); break;
    default: strip(read, 1, k, x, row, part); break;
    }
}

typedef void (*strips_kernel)(int rows, const linear_block *k, const float *const *x, int64_t row,
                              const linear_part *part);

#define STRIPS(name, read)                                                                         \
    static void name(int rows, const linear_block *k, const float *const *x, int64_t row,          \
                     const linear_part *part) {                                                    \
        strips(read, rows, k, x, row, part);                                                       \
    }
STRIPS(strips_f32, READ_F32)
STRIPS(strips_f16, READ_F16)
STRIPS(strips_bf16, READ_BF16)
STRIPS(strips_f32_round, READ_F32_ROUND)
STRIPS(strips_f16_round, READ_F16_ROUND)
STRIPS(strips_i8, READ_I8)
#undef STRIPS

static strips_kernel strips_for(dtype type, linear_math math) {
    switch (type) {
    case DTYPE_BF16: return strips_bf16;
    case DTYPE_I8: return strips_i8;
    case DTYPE_F16: return math == LINEAR_BF16 ? strips_f16_round : strips_f16;
    default: return math == LINEAR_BF16 ? strips_f32_round : strips_f32;
    }
}

/* ---- Kernels ------------------------------------------------------------------------------ */

static void run_linear(const linear_args *a, const linear_part *part) {
    int64_t p = part->group;
    vec kept[LINEAR_PART_OUTS * TILE_ROWS];
    linear_block block = linear_block_of(a, p);
    block.kept = kept;
    strips_kernel run = strips_for(a->w_type, a->math);
    for (int64_t row = part->row_begin; row < part->row_end; row += TILE_ROWS) {
        int rows = (int)min_i64(TILE_ROWS, part->row_end - row);
        const float *x[TILE_ROWS];
        for (int r = 0; r < rows; r++)
            x[r] = part->packed ? (const float *)part->packed + (row - part->row_begin + r) * a->in
                                : a->x[p] + (row + r) * a->x_stride;
        run(rows, &block, x, row, part);
    }
}

/* Packed rows are f32 that were rounded to bf16. */
static size_t rounded_bytes(int64_t in) {
    return (size_t)in * sizeof(float);
}

static void round_rows(const linear_args *a, int64_t group, int64_t begin, int64_t end,
                       void *packed) {
    float *to = packed;
    for (int64_t row = begin; row < end; row++, to += a->in) {
        const float *x = a->x[group] + row * a->x_stride;
        for (int64_t i = 0; i < a->in; i += LANES)
            vec_store_some(to + i, vec_round_bf16(vec_load_some(x + i, a->in - i)), a->in - i);
    }
}

/* Packed rows are f32 that were rounded to integers times their block's scale. */
static void quantize_rows(const linear_args *a, int64_t group, int64_t begin, int64_t end,
                          void *packed) {
    float *to = packed;
    for (int64_t row = begin; row < end; row++, to += a->in) {
        const float *x = a->x[group] + row * a->x_stride;
        for (int64_t b = 0; b < a->in; b += LINEAR_INT8_BLOCK) {
            int64_t block_end = min_i64(a->in, b + LINEAR_INT8_BLOCK);
            quantum q = quantum_of_floats(x + b, block_end - b);
            for (int64_t i = b; i < block_end; i += LANES) {
                vec v = quantize(vec_load_some(x + i, block_end - i), q.inverse) * q.scale;
                vec_store_some(to + i, v, block_end - i);
            }
        }
    }
}

#define LINEAR_BLOCK_ROWS (252 / TILE_ROWS * TILE_ROWS)

/* What each instruction set calls linear_f32_<isa> and so on. */
#define LINEAR_KERNEL_F32                                                                          \
    { .pack_rows = 1, .step_rows = TILE_ROWS, .block_rows = LINEAR_BLOCK_ROWS, .run = run_linear }
#define LINEAR_KERNEL_ROUND                                                                        \
    {                                                                                              \
        .pack_rows = 1, .step_rows = TILE_ROWS, .block_rows = LINEAR_BLOCK_ROWS,                   \
        .pack_bytes = rounded_bytes, .pack = round_rows, .run = run_linear                         \
    }
#define LINEAR_KERNEL_INT8                                                                         \
    {                                                                                              \
        .pack_rows = 1, .step_rows = TILE_ROWS, .block_rows = LINEAR_BLOCK_ROWS,                   \
        .pack_bytes = rounded_bytes, .pack = quantize_rows, .run = run_linear                      \
    }

#endif
