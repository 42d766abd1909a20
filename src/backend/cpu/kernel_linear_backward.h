/* kernel_linear_backward.h - the gradients of a linear for one block, compiled once per instruction
 * set: dx = dy w over blocks of w's rows, dw = dy^T x over blocks of x's rows. What is multiplied
 * with is packed for all columns of the block, and widened or rounded on the way; then come the
 * block's rows, a few at a time. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_outer.h"
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

/* c += a b for rows <= OUTER_ROWS rows of c over all packed columns. */
static void multiply_panels(int64_t rows, outer_left a, const right_panels *right, int64_t width,
                            float *c, int64_t stride) {
    for (int64_t i = 0; i < width; i += OUTER_WIDTH) {
        outer_right b = {right->at[i / OUTER_WIDTH], OUTER_WIDTH, right->depth,
                         min_i64(OUTER_WIDTH, width - i)};
        outer_add_rows(rows, a, &b, c + i, stride);
    }
}

/* rows x depth numbers that follow each other along k, rounded, next to each other. */
static outer_left round_left(float *rounded, outer_left a, int64_t rows, int64_t depth) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < depth; k += LANES) {
            vec v = vec_load_some(a.at + r * a.row + k, depth - k);
            vec_store_some(rounded + r * OUTER_DEPTH + k, vec_round_bf16(v), depth - k);
        }
    return (outer_left){rounded, OUTER_DEPTH, 1};
}

static void kernel_linear_backward_x(const linear_backward_x_args *a, const linear_part *part) {
    right_panels right;
    float rounded[OUTER_ROWS * OUTER_DEPTH];
    int64_t p = part->group, i = part->out_begin, width = part->out_end - i;
    bool round = a->math == LINEAR_BF16;
    for (int64_t o = 0; o < a->out; o += OUTER_DEPTH) {
        right.depth = min_i64(OUTER_DEPTH, a->out - o);
        pack_panels(&right, a->w_type, a->w[p], a->w_stride, o, i, width, round);
        for (int64_t n = part->row_begin; n < part->row_end; n += OUTER_ROWS) {
            int64_t rows = min_i64(OUTER_ROWS, part->row_end - n);
            outer_left left = {a->dy[p] + n * a->dy_stride + o, a->dy_stride, 1};
            if (round)
                left = round_left(rounded, left, rows, right.depth);
            multiply_panels(rows, left, &right, width, a->dx[p] + n * a->dx_stride + i,
                            a->dx_stride);
        }
    }
}

/* OUTER_ROWS columns of dy's rows first .. first+depth-1, next to each other. */
static void pack_columns(float *packed, const linear_backward_w_args *a, const float *dy,
                         int64_t rows, int64_t depth) {
    bool round = a->math == LINEAR_BF16;
    for (int64_t k = 0; k < depth; k++, packed += OUTER_ROWS, dy += a->dy_stride)
        for (int64_t r = 0; r < rows; r += LANES) {
            vec v = vec_load_some(dy + r, rows - r);
            vec_store_some(packed + r, round ? vec_round_bf16(v) : v, rows - r);
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
    float columns[OUTER_DEPTH * OUTER_ROWS];
    int64_t p = part->group, i = part->out_begin, width = part->out_end - i;
    bool round = a->math == LINEAR_BF16;
    for (int64_t n = 0; n < a->rows; n += OUTER_DEPTH) {
        right.depth = min_i64(OUTER_DEPTH, a->rows - n);
        pack_panels(&right, DTYPE_F32, a->x[p], a->x_stride, n, i, width, round);
        for (int64_t o = part->row_begin; o < part->row_end; o += OUTER_ROWS) {
            int64_t rows = min_i64(OUTER_ROWS, part->row_end - o);
            pack_columns(columns, a, a->dy[p] + n * a->dy_stride + o, rows, right.depth);
            multiply_panels(rows, (outer_left){columns, 1, OUTER_ROWS}, &right, width,
                            a->dw[p] + o * a->dw_stride + i, a->dw_stride);
        }
    }
}
