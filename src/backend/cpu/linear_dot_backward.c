/* linear_dot_backward.c - the gradients of a linear in LINEAR_BF16 with AVX-512's dot products of
 * bf16 pairs.
 *
 * A pair holds numbers k and k + 1 of the direction that is summed: of two rows of what is packed,
 * side by side for every column, and of one number of the other side, for all columns. Each result
 * adds its pairs in order, DEPTH numbers at a time, hence a row has the same bits alone, in a
 * batch, and on any thread. The instruction takes subnormal numbers for zero. */
#ifdef __x86_64__
#define LANES 16
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
#define AHEAD  24 /* rows between what is packed and what is asked for */

typedef struct panels {
    _Alignas(64) uint32_t at[PANELS][PAIRS][WIDTH];
    int64_t pairs, width;
} panels;

/* Pairs of the other side: of row r, pair k stands at at[r * row + k * step]. */
typedef struct left_pairs {
    const uint32_t *at;
    int64_t row, step;
} left_pairs;

/* ---- Packing ------------------------------------------------------------------------------ */

/* first in the low half, second in the high half, both rounded. */
KERNEL_INLINE vec_bits pair_up(vec first, vec second, bool rounded) {
    if (!rounded) {
        first = vec_round_bf16(first);
        second = vec_round_bf16(second);
    }
    return (vec_bits)first >> 16 | (vec_bits)second;
}

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

/* ---- Tiles -------------------------------------------------------------------------------- */

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

/* ---- Blocks ------------------------------------------------------------------------------- */

static void backward_x(const linear_backward_x_args *a, const linear_part *part) {
    panels right = {.width = part->out_end - part->out_begin};
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
    panels right = {.width = part->out_end - part->out_begin};
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
