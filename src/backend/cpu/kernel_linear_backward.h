/* kernel_linear_backward.h - the gradients of a linear for one block, compiled once per instruction
 * set: dx = dy w over blocks of w's rows, dw = dy^T x over blocks of x's rows. What is multiplied
 * with is packed, and widened or rounded on the way. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_outer.h"
#include "backend/cpu/vector.h"

/* Rows first .. of a matrix whose row r starts at base + r * stride elements, packed. */
static void pack_rows(float *packed, dtype type, const void *base, int64_t stride, int64_t first,
                      int64_t column, const outer_right *b, bool round) {
    for (int64_t k = 0; k < b->depth; k++, packed += OUTER_WIDTH)
        for (int64_t i = 0; i < b->width; i += LANES) {
            vec v = vec_load_weight(type, base, (first + k) * stride + column + i, b->width - i);
            vec_store_some(packed + i, round ? vec_round_bf16(v) : v, b->width - i);
        }
}

/* rows x depth numbers that follow each other along k, rounded, next to each other. */
static void round_left(float *rounded, const outer_left *a, int64_t rows, int64_t depth) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < depth; k += LANES) {
            vec v = vec_load_some(a->at + r * a->row + k, depth - k);
            vec_store_some(rounded + r * OUTER_DEPTH + k, vec_round_bf16(v), depth - k);
        }
}

static void kernel_linear_backward_x(const linear_backward_x_args *a, const linear_part *part) {
    int64_t group = part->group;
    float packed[OUTER_DEPTH * OUTER_WIDTH], rounded[OUTER_ROWS * OUTER_DEPTH];
    bool round = a->math == LINEAR_BF16;
    outer_right b = {.at = packed, .stride = OUTER_WIDTH};
    for (int64_t i = part->out_begin; i < part->out_end; i += OUTER_WIDTH)
        for (int64_t o = 0; o < a->out; o += OUTER_DEPTH) {
            b.width = min_i64(OUTER_WIDTH, part->out_end - i);
            b.depth = min_i64(OUTER_DEPTH, a->out - o);
            pack_rows(packed, a->w_type, a->w[group], a->w_stride, o, i, &b, round);
            for (int64_t n = part->row_begin; n < part->row_end; n += OUTER_ROWS) {
                int64_t rows = min_i64(OUTER_ROWS, part->row_end - n);
                outer_left left = {a->dy[group] + n * a->dy_stride + o, a->dy_stride, 1};
                if (round) {
                    round_left(rounded, &left, rows, b.depth);
                    left = (outer_left){rounded, OUTER_DEPTH, 1};
                }
                outer_add_rows(rows, left, &b, a->dx[group] + n * a->dx_stride + i, a->dx_stride);
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

static void add_bias_gradient(const linear_backward_w_args *a, const linear_part *part) {
    const float *dy = a->dy[part->group];
    float *db = a->db[part->group];
    for (int64_t o = part->row_begin; o < part->row_end; o += LANES) {
        int64_t left = part->row_end - o;
        for (int64_t n = 0; n < a->rows; n += OUTER_DEPTH) {
            vec sum = {0};
            for (int64_t k = n; k < min_i64(n + OUTER_DEPTH, a->rows); k++)
                sum += vec_load_some(dy + k * a->dy_stride + o, left);
            vec_store_some(db + o, vec_load_some(db + o, left) + sum, left);
        }
    }
}

/* Rows of the part are rows of dw, its outs are columns. */
static void kernel_linear_backward_w(const linear_backward_w_args *a, const linear_part *part) {
    int64_t group = part->group;
    float packed[OUTER_DEPTH * OUTER_WIDTH], columns[OUTER_DEPTH * OUTER_ROWS];
    bool round = a->math == LINEAR_BF16;
    outer_right b = {.at = packed, .stride = OUTER_WIDTH};
    for (int64_t i = part->out_begin; i < part->out_end; i += OUTER_WIDTH)
        for (int64_t n = 0; n < a->rows; n += OUTER_DEPTH) {
            b.width = min_i64(OUTER_WIDTH, part->out_end - i);
            b.depth = min_i64(OUTER_DEPTH, a->rows - n);
            pack_rows(packed, DTYPE_F32, a->x[group], a->x_stride, n, i, &b, round);
            for (int64_t o = part->row_begin; o < part->row_end; o += OUTER_ROWS) {
                int64_t rows = min_i64(OUTER_ROWS, part->row_end - o);
                pack_columns(columns, a, a->dy[group] + n * a->dy_stride + o, rows, b.depth);
                outer_add_rows(rows, (outer_left){columns, 1, OUTER_ROWS}, &b,
                               a->dw[group] + o * a->dw_stride + i, a->dw_stride);
            }
        }
    if (part->out_begin == 0 && a->db && a->db[group])
        add_bias_gradient(a, part);
}
