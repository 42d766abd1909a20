/* kernel_linear_backward.h - the gradients of a linear for one block, compiled once per instruction
 * set: dx = dy w over blocks of w's rows, dw = dy^T x over blocks of x's rows. What is multiplied
 * with is packed for all columns of the block, and widened or rounded on the way; then come the
 * block's rows, a few at a time. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_outer.h"
#include "backend/cpu/kernel_way.h"
#include "backend/cpu/vector.h"

/* Packed: 128 KB of a thread's stack, which its second-level cache holds. */
#define PANELS (BACKWARD_PART_COLUMNS / OUTER_WIDTH)

#define AHEAD 24 /* rows between what is packed and what is asked for */

typedef struct right_panels {
    _Alignas(64) float at[PANELS][OUTER_DEPTH * OUTER_WIDTH];
    int64_t depth;
} right_panels;

/* Rows first .. of a matrix whose row r starts at base + r * stride elements, columns column ..
 * column + width - 1. */
static void pack_panels(right_panels *to, dtype type, const void *base, int64_t stride,
                        int64_t first, int64_t column, int64_t width, bool round) {
    const int64_t size = type == DTYPE_F32 ? 4 : 2;
    for (int64_t k = 0; k < to->depth; k++)
        for (int64_t i = 0; i < width; i += LANES) {
            int64_t place = (first + k) * stride + column + i;
            vec v = vec_load_weight(type, base, place, width - i);
            /* Rows lie too far apart for the machine to see where this is going. */
            __builtin_prefetch((const char *)base + (place + AHEAD * stride) * size);
            float *at = to->at[i / OUTER_WIDTH] + k * OUTER_WIDTH + i % OUTER_WIDTH;
            vec_store_some(at, round ? vec_round_bf16(v) : v, width - i);
        }
}

/* Strips of OUTER_ROWS rows of the result: what they are made from lies packed, `strip` floats for
 * each; a little more than it takes, so that strips do not push each other out of the caches. */
typedef struct left_strips {
    const float *at;
    int64_t strip, row, step; /* row and step as in outer_left */
} left_strips;

#define STRIPS       ((BACKWARD_BLOCK_ROWS + OUTER_ROWS - 1) / OUTER_ROWS)
#define STRIP_FLOATS (OUTER_ROWS * OUTER_DEPTH + 16)

/* A panel of the right side stays in the first-level cache while the strips pass by. */
static void multiply_block(const left_strips *a, const right_panels *right, vec_way way,
                           int64_t rows, int64_t width, float *c, int64_t stride) {
    for (int64_t i = 0; i < width; i += OUTER_WIDTH) {
        outer_right b = {right->at[i / OUTER_WIDTH], OUTER_WIDTH, right->depth,
                         min_i64(OUTER_WIDTH, width - i), way};
        for (int64_t n = 0; n < rows; n += OUTER_ROWS)
            outer_add_rows(min_i64(OUTER_ROWS, rows - n),
                           (outer_left){a->at + n / OUTER_ROWS * a->strip, a->row, a->step}, &b,
                           c + n * stride + i, stride);
    }
}

/* Rows of numbers that follow each other along the sum. */
static void pack_rows(float *to, const float *x, int64_t stride, int64_t rows, int64_t depth,
                      bool round) {
    for (int64_t n = 0; n < rows; n++) {
        float *at = to + n / OUTER_ROWS * STRIP_FLOATS + n % OUTER_ROWS * OUTER_DEPTH;
        for (int64_t k = 0; k < depth; k += LANES) {
            vec v = vec_load_some(x + n * stride + k, depth - k);
            vec_store_some(at + k, round ? vec_round_bf16(v) : v, depth - k);
        }
    }
}

/* Columns, whose sum goes over the rows: number k of column r of a strip at k * OUTER_ROWS + r. */
static void pack_columns(float *to, const float *x, int64_t stride, int64_t columns, int64_t depth,
                         bool round) {
    for (int64_t k = 0; k < depth; k++, x += stride)
        for (int64_t o = 0; o < columns; o += OUTER_ROWS) {
            float *at = to + o / OUTER_ROWS * STRIP_FLOATS + k * OUTER_ROWS;
            int64_t some = min_i64(OUTER_ROWS, columns - o);
            for (int64_t r = 0; r < some; r += LANES) {
                vec v = vec_load_some(x + o + r, some - r);
                vec_store_some(at + r, round ? vec_round_bf16(v) : v, some - r);
            }
        }
}

static void kernel_linear_backward_x(const linear_backward_x_args *a, const linear_part *part) {
    right_panels right;
    float packed[STRIPS * STRIP_FLOATS];
    const left_strips left = {packed, STRIP_FLOATS, OUTER_DEPTH, 1};
    int64_t p = part->group, i = part->out_begin, width = part->out_end - i;
    int64_t rows = part->row_end - part->row_begin;
    bool round = a->math == LINEAR_BF16;
    for (int64_t o = 0; o < a->out; o += OUTER_DEPTH) {
        right.depth = min_i64(OUTER_DEPTH, a->out - o);
        pack_panels(&right, a->w_type, a->w[p], a->w_stride, o, i, width, round);
        pack_rows(packed, a->dy[p] + part->row_begin * a->dy_stride + o, a->dy_stride, rows,
                  right.depth, round);
        multiply_block(&left, &right, VEC_ADD, rows, width,
                       a->dx[p] + part->row_begin * a->dx_stride + i, a->dx_stride);
    }
}

static void kernel_bias_backward(const linear_backward_w_args *a, int64_t group, int64_t begin,
                                 int64_t end) {
    float *db = a->db[group];
    for (int64_t o = begin; o < end; o += LANES)
        for (int64_t n = 0; n < a->rows; n += OUTER_DEPTH) {
            vec sum = {0};
            for (int64_t k = n; k < min_i64(n + OUTER_DEPTH, a->rows); k++)
                sum += vec_load_some(a->dy[group] + k * a->dy_stride + o, end - o);
            vec_store_some(db + o, vec_load_some(db + o, end - o) + sum, end - o);
        }
}

/* Rows of the part are rows of dw, its outs are columns. */
static void kernel_linear_backward_w(const linear_backward_w_args *a, const linear_part *part) {
    right_panels right;
    float packed[STRIPS * STRIP_FLOATS];
    const left_strips left = {packed, STRIP_FLOATS, 1, OUTER_ROWS};
    int64_t p = part->group, i = part->out_begin, width = part->out_end - i;
    int64_t rows = part->row_end - part->row_begin;
    bool round = a->math == LINEAR_BF16;
    vec_way way = backward_way(a, part, OUTER_DEPTH);
    for (int64_t n = 0; n < a->rows; n += OUTER_DEPTH) {
        right.depth = min_i64(OUTER_DEPTH, a->rows - n);
        pack_panels(&right, DTYPE_F32, a->x[p], a->x_stride, n, i, width, round);
        pack_columns(packed, a->dy[p] + n * a->dy_stride + part->row_begin, a->dy_stride, rows,
                     right.depth, round);
        multiply_block(&left, &right, n == 0 ? way : VEC_ADD, rows, width,
                       a->dw[p] + part->row_begin * a->dw_stride + i, a->dw_stride);
    }
    vec_settle();
}
