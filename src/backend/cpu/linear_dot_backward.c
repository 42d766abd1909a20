/* linear_dot_backward.c - the gradients of a linear in LINEAR_BF16 with AVX-512's dot products of
 * bf16 pairs.
 *
 * Both sides of a block are packed first. Then a panel of the right side stays in the first-level
 * cache while the strips of the left one pass by: these are small, and lie in the second-level
 * cache one after the other. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_pairs.h"
#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/kernel_way.h"

/* Rows of a block; of the left side in strips. */
#define STRIPS (BACKWARD_BLOCK_ROWS / TILE_ROWS)
_Static_assert(BACKWARD_BLOCK_ROWS % TILE_ROWS == 0, "a block is whole strips");

/* ---- The right side ----------------------------------------------------------------------- */

/* Elements of two rows as pairs; `second` may be NULL: zeros. Fewer than LANES are rare. */
KERNEL_INLINE __m512i pair_rows(dtype type, const char *first, const char *second, int64_t n) {
    if (type == DTYPE_BF16 && n >= LANES && second) {
        __m256i a = _mm256_loadu_si256((const __m256i *)first);
        __m256i b = _mm256_loadu_si256((const __m256i *)second);
        return interleave(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
    }
    vec a = vec_load_weight(type, first, 0, n), b = {0};
    if (second)
        b = vec_load_weight(type, second, 0, n);
    return interleave((__m512i)_mm512_cvtne2ps_pbh(b, a));
}

/* Rows that come next, which lie too far apart for the machine to see where this is going. */
typedef struct ahead {
    const char *row; /* NULL: nothing is known to come */
    int64_t row_bytes, rows, bytes;
} ahead;

static void fetch_ahead(ahead *next, int64_t rows) {
    for (; rows > 0 && next->rows > 0; rows--, next->rows--, next->row += next->row_bytes)
        for (int64_t i = 0; i < next->bytes; i += 64)
            _mm_prefetch(next->row + i, _MM_HINT_T1);
}

/* A matrix that is multiplied with: row r starts at base + r * stride elements. */
typedef struct right_side {
    dtype type;
    const char *base;
    int64_t stride, rows;
} right_side;

#define AHEAD 24 /* rows between what is packed and what is asked for */

/* Rows first .. first + depth - 1 from column on. An odd last row is paired with zeros. */
KERNEL_INLINE void pack_typed(panels *to, dtype type, const right_side *side, int64_t first,
                              int64_t depth, int64_t column) {
    const int64_t size = type == DTYPE_F32 ? 4 : 2, row_bytes = side->stride * size;
    for (int64_t k = 0; k < depth; k += 2) {
        const char *row = side->base + (first + k) * row_bytes + column * size;
        for (int64_t i = 0; i < to->width; i += LANES) {
            const char *a = row + i * size, *b = k + 1 < depth ? a + row_bytes : NULL;
            __builtin_prefetch(a + AHEAD * row_bytes);
            __builtin_prefetch(a + (AHEAD + 1) * row_bytes);
            _mm512_storeu_si512(&to->at[i / WIDTH][k / 2][i % WIDTH],
                                pair_rows(type, a, b, to->width - i));
        }
    }
    to->pairs = (depth + 1) / 2;
}

/* Says what the next call will pack. */
static ahead pack_panels(panels *to, const right_side *side, int64_t first, int64_t depth,
                         int64_t column) {
    int64_t size = side->type == DTYPE_F32 ? 4 : 2;
    switch (side->type) {
    case DTYPE_BF16: pack_typed(to, DTYPE_BF16, side, first, depth, column); break;
    case DTYPE_F16: pack_typed(to, DTYPE_F16, side, first, depth, column); break;
    default: pack_typed(to, DTYPE_F32, side, first, depth, column); break;
    }
    return (ahead){.row = side->base + ((first + depth) * side->stride + column) * size,
                   .row_bytes = side->stride * size,
                   .rows = min_i64(DEPTH, side->rows - first - depth),
                   .bytes = to->width * size};
}

/* ---- The left side ------------------------------------------------------------------------ */

/* Strips of TILE_ROWS rows of the result. A strip takes a little more than its pairs, so that
 * strips do not push each other out of the caches. */
#define ROW_STRIP    (TILE_ROWS * PAIRS + LANES)
#define COLUMN_ROOM  8 /* numbers that a pair of rows gives to a strip; TILE_ROWS of them count */
#define COLUMN_STRIP (COLUMN_ROOM * PAIRS + LANES)
_Static_assert(TILE_ROWS <= COLUMN_ROOM, "a strip's columns are one half vector");

/* Numbers of a row that follow each other along the sum: pair k of row r of a strip stands at
 * r * PAIRS + k. */
static void pack_rows(uint32_t *to, const float *x, int64_t stride, int64_t rows, int64_t depth) {
    for (int64_t n = 0; n < rows; n++) {
        uint32_t *at = to + n / TILE_ROWS * ROW_STRIP + n % TILE_ROWS * PAIRS;
        for (int64_t k = 0; k < depth; k += 2 * LANES) {
            int64_t left = depth - k;
            vec low = vec_load_some(x + n * stride + k, left), high = {0};
            if (left > LANES)
                high = vec_load_some(x + n * stride + k + LANES, left - LANES);
            __m512bh both = _mm512_cvtne2ps_pbh(high, low);
            memcpy(at + k / 2, &both, sizeof both);
        }
    }
}

/* Columns, whose sum goes over the rows: pair k of column r of a strip stands at
 * k * COLUMN_ROOM + r. */
static void pack_columns(uint32_t *to, const float *x, int64_t stride, int64_t columns,
                         int64_t depth) {
    const __m256i order = _mm256_set_epi16(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
    for (int64_t k = 0; k < depth; k += 2) {
        const float *first = x + k * stride, *second = k + 1 < depth ? first + stride : NULL;
        uint32_t *at = to + k / 2 * COLUMN_ROOM;
        for (int64_t o = 0; o < columns; o += TILE_ROWS, at += COLUMN_STRIP) {
            int64_t some = min_i64(COLUMN_ROOM, columns - o);
            __mmask8 mask = (__mmask8)((1u << some) - 1);
            __m256 a = _mm256_maskz_loadu_ps(mask, first + o), b = _mm256_setzero_ps();
            if (second)
                b = _mm256_maskz_loadu_ps(mask, second + o);
            __m256i both = (__m256i)_mm256_cvtne2ps_pbh(b, a);
            _mm256_storeu_si256((__m256i *)at, _mm256_permutexvar_epi16(order, both));
        }
    }
}

/* ---- Blocks ------------------------------------------------------------------------------- */

/* The left side of a block as it was packed. */
typedef struct left_side {
    const uint32_t *at;
    int64_t strip, row, step; /* as in left_pairs */
} left_side;

static __attribute__((noinline)) void strip_add(int64_t rows, left_pairs a,
                                                const uint32_t (*b)[WIDTH], int64_t pairs,
                                                int64_t width, float *c, int64_t stride) {
    strip_rows(VEC_ADD, rows, a, b, pairs, width, c, stride);
}

static __attribute__((noinline)) void strip_over(int64_t rows, left_pairs a,
                                                 const uint32_t (*b)[WIDTH], int64_t pairs,
                                                 int64_t width, float *c, int64_t stride) {
    strip_rows(VEC_OVER, rows, a, b, pairs, width, c, stride);
}

static __attribute__((noinline)) void strip_past(int64_t rows, left_pairs a,
                                                 const uint32_t (*b)[WIDTH], int64_t pairs,
                                                 int64_t width, float *c, int64_t stride) {
    strip_rows(VEC_PAST, rows, a, b, pairs, width, c, stride);
}

/* `rows` rows of c, panel after panel. */
static void multiply_block(vec_way way, const left_side *a, const panels *b, int64_t rows, float *c,
                           int64_t stride, ahead *next) {
    int64_t turns = (rows + TILE_ROWS - 1) / TILE_ROWS * ((b->width + WIDTH - 1) / WIDTH);
    int64_t share = (next->rows + turns - 1) / turns;
    for (int64_t i = 0; i < b->width; i += WIDTH)
        for (int64_t n = 0; n < rows; n += TILE_ROWS) {
            left_pairs left = {a->at + n / TILE_ROWS * a->strip, a->row, a->step};
            int64_t some = min_i64(TILE_ROWS, rows - n), width = b->width - i;
            const uint32_t(*panel)[WIDTH] = b->at[i / WIDTH];
            float *at = c + n * stride + i;
            fetch_ahead(next, share);
            if (way == VEC_ADD)
                strip_add(some, left, panel, b->pairs, width, at, stride);
            else if (way == VEC_OVER)
                strip_over(some, left, panel, b->pairs, width, at, stride);
            else
                strip_past(some, left, panel, b->pairs, width, at, stride);
        }
}

static void backward_x(const linear_backward_x_args *a, const linear_part *part) {
    panels right;
    uint32_t packed[STRIPS * ROW_STRIP];
    int64_t p = part->group, rows = part->row_end - part->row_begin;
    const left_side left = {packed, ROW_STRIP, PAIRS, 1};
    const right_side w = {a->w_type, a->w[p], a->w_stride, a->out};
    right.width = part->out_end - part->out_begin;
    float *dx = a->dx[p] + part->row_begin * a->dx_stride + part->out_begin;
    for (int64_t o = 0; o < a->out; o += DEPTH) {
        int64_t depth = min_i64(DEPTH, a->out - o);
        ahead next = pack_panels(&right, &w, o, depth, part->out_begin);
        pack_rows(packed, a->dy[p] + part->row_begin * a->dy_stride + o, a->dy_stride, rows, depth);
        multiply_block(VEC_ADD, &left, &right, rows, dx, a->dx_stride, &next);
    }
}

/* Rows of the part are rows of dw. */
static void backward_w(const linear_backward_w_args *a, const linear_part *part) {
    panels right;
    uint32_t packed[STRIPS * COLUMN_STRIP];
    int64_t p = part->group, rows = part->row_end - part->row_begin;
    const left_side left = {packed, COLUMN_STRIP, 1, COLUMN_ROOM};
    const right_side x = {DTYPE_F32, (const char *)a->x[p], a->x_stride, a->rows};
    right.width = part->out_end - part->out_begin;
    float *dw = a->dw[p] + part->row_begin * a->dw_stride + part->out_begin;
    vec_way way = backward_way(a, part, DEPTH);
    for (int64_t n = 0; n < a->rows; n += DEPTH) {
        int64_t depth = min_i64(DEPTH, a->rows - n);
        ahead next = pack_panels(&right, &x, n, depth, part->out_begin);
        pack_columns(packed, a->dy[p] + n * a->dy_stride + part->row_begin, a->dy_stride, rows,
                     depth);
        multiply_block(way, &left, &right, rows, dw, a->dw_stride, &next);
        way = VEC_ADD;
    }
    vec_settle();
}

const linear_backward_kernels linear_backward_dot = {.x = backward_x, .w = backward_w};
#endif
