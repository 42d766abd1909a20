/* linear_dot_backward.c - the gradients of a linear in LINEAR_BF16 with AVX-512's dot products of
 * bf16 pairs. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_pairs.h"
#include "backend/cpu/kernel_sets.h"

#define AHEAD 24 /* rows between what is packed and what is asked for */

/* ---- Packing ------------------------------------------------------------------------------ */

/* Rows first .. first + depth - 1 of a matrix whose row r starts at base + r * stride elements,
 * from column on. An odd last row is paired with zeros. */
KERNEL_INLINE void pack_typed(panels *to, dtype type, const char *base, int64_t stride,
                              int64_t first, int64_t depth, int64_t column) {
    const int64_t size = type == DTYPE_F32 ? 4 : 2;
    for (int64_t k = 0; k < depth; k += 2)
        for (int64_t i = 0; i < to->width; i += LANES) {
            int64_t place = (first + k) * stride + column + i, left = to->width - i;
            vec a = vec_load_weight(type, base, place, left), b = {0};
            if (k + 1 < depth)
                b = vec_load_weight(type, base, place + stride, left);
            /* Rows lie too far apart for the machine to see where this is going. */
            __builtin_prefetch(base + (place + AHEAD * stride) * size);
            __builtin_prefetch(base + (place + (AHEAD + 1) * stride) * size);
            vec_store(&to->at[i / WIDTH][k / 2][i % WIDTH], (vec)pair_up(a, b, type == DTYPE_BF16));
        }
    to->pairs = (depth + 1) / 2;
}

static void pack_panels(panels *to, dtype type, const void *base, int64_t stride, int64_t first,
                        int64_t depth, int64_t column) {
    switch (type) {
    case DTYPE_BF16: pack_typed(to, DTYPE_BF16, base, stride, first, depth, column); break;
    case DTYPE_F16: pack_typed(to, DTYPE_F16, base, stride, first, depth, column); break;
    default: pack_typed(to, DTYPE_F32, base, stride, first, depth, column); break;
    }
}

/* Numbers of a row that follow each other along the sum. */
static left_pairs pack_rows(uint32_t *to, const float *x, int64_t stride, int64_t rows,
                            int64_t depth) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < depth; k += 2 * LANES) {
            int64_t left = depth - k;
            vec low = vec_load_some(x + r * stride + k, left), high = {0};
            if (left > LANES)
                high = vec_load_some(x + r * stride + k + LANES, left - LANES);
            __m512bh both = _mm512_cvtne2ps_pbh(high, low);
            memcpy(to + r * PAIRS + k / 2, &both, sizeof both);
        }
    return (left_pairs){to, PAIRS, 1};
}

/* Numbers of up to TILE_ROWS columns, whose sum goes over the rows. */
static left_pairs pack_columns(uint32_t *to, const float *x, int64_t stride, int64_t columns,
                               int64_t depth) {
    for (int64_t k = 0; k < depth; k += 2) {
        vec a = vec_load_part(x + k * stride, columns), b = {0};
        if (k + 1 < depth)
            b = vec_load_part(x + (k + 1) * stride, columns);
        vec_store_part(to + k / 2 * TILE_ROWS, (vec)pair_up(a, b, false), columns);
    }
    return (left_pairs){to, 1, TILE_ROWS};
}

/* ---- Blocks ------------------------------------------------------------------------------- */

static void backward_x(const linear_backward_x_args *a, const linear_part *part) {
    panels right;
    right.width = part->out_end - part->out_begin;
    uint32_t left[TILE_ROWS * PAIRS];
    int64_t p = part->group;
    float *dx = a->dx[p] + part->out_begin;
    for (int64_t o = 0; o < a->out; o += DEPTH) {
        int64_t depth = min_i64(DEPTH, a->out - o);
        pack_panels(&right, a->w_type, a->w[p], a->w_stride, o, depth, part->out_begin);
        for (int64_t n = part->row_begin; n < part->row_end; n += TILE_ROWS) {
            int64_t rows = min_i64(TILE_ROWS, part->row_end - n);
            const float *dy = a->dy[p] + n * a->dy_stride + o;
            multiply(rows, pack_rows(left, dy, a->dy_stride, rows, depth), &right,
                     dx + n * a->dx_stride, a->dx_stride);
        }
    }
}

/* Rows of the part are rows of dw. */
static void backward_w(const linear_backward_w_args *a, const linear_part *part) {
    panels right;
    right.width = part->out_end - part->out_begin;
    uint32_t left[PAIRS * TILE_ROWS];
    int64_t p = part->group;
    float *dw = a->dw[p] + part->out_begin;
    for (int64_t n = 0; n < a->rows; n += DEPTH) {
        int64_t depth = min_i64(DEPTH, a->rows - n);
        pack_panels(&right, DTYPE_F32, a->x[p], a->x_stride, n, depth, part->out_begin);
        for (int64_t o = part->row_begin; o < part->row_end; o += TILE_ROWS) {
            int64_t rows = min_i64(TILE_ROWS, part->row_end - o);
            const float *dy = a->dy[p] + n * a->dy_stride + o;
            multiply(rows, pack_columns(left, dy, a->dy_stride, rows, depth), &right,
                     dw + o * a->dw_stride, a->dw_stride);
        }
    }
}

const linear_backward_kernels linear_backward_dot = {.x = backward_x, .w = backward_w};
#endif
